"""Small facts of everyday knowledge, as pairs."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import pairs

ANIMAL_YOUNG = pairs("""
dog=puppy cat=kitten cow=calf horse=foal sheep=lamb goat=kid pig=piglet hen=chick duck=duckling
goose=gosling
swan=cygnet lion=cub bear=cub wolf=pup fox=cub deer=fawn kangaroo=joey frog=tadpole elephant=calf
whale=calf
seal=pup eagle=eaglet owl=owlet rabbit=kit spider=spiderling butterfly=caterpillar hare=leveret
turkey=poult
""")
ANIMAL_SOUND = pairs("""
dog=bark cat=meow cow=moo horse=neigh sheep=baa pig=oink hen=cluck duck=quack rooster=crow
lion=roar wolf=howl
snake=hiss bee=buzz frog=croak owl=hoot crow=caw mouse=squeak elephant=trumpet donkey=bray
turkey=gobble
pigeon=coo monkey=chatter bear=growl bird=chirp goose=honk cricket=chirp
""")
ANIMAL_HOME = pairs("""
dog=kennel bee=hive bird=nest spider=web lion=den bear=den rabbit=burrow horse=stable pig=sty
hen=coop
cow=barn fish=aquarium ant=anthill beaver=lodge fox=den snail=shell eagle=eyrie sheep=pen
canary=cage mole=tunnel
""")
PROFESSION_TOOL = pairs("""
carpenter=hammer painter=brush writer=pen doctor=stethoscope farmer=tractor photographer=camera
chef=knife
barber=scissors tailor=needle gardener=spade miner=pickaxe teacher=chalk astronomer=telescope
soldier=rifle
fisherman=net lumberjack=axe plumber=wrench dentist=drill conductor=baton blacksmith=anvil
cleaner=mop
judge=gavel sculptor=chisel biologist=microscope electrician=pliers drummer=drum cashier=register
programmer=computer
referee=whistle knight=sword
""")
PROFESSION_PLACE = pairs("""
teacher=school doctor=hospital nurse=hospital chef=kitchen farmer=farm judge=court actor=theater
pilot=airplane
sailor=ship soldier=army librarian=library scientist=laboratory banker=bank priest=church
baker=bakery
pharmacist=pharmacy waiter=restaurant miner=mine mechanic=garage professor=university
florist=flower_shop
cashier=shop secretary=office prisoner=prison astronaut=space gardener=garden lifeguard=beach
clown=circus
""")
THING_COLOUR = pairs("""
snow=white grass=green sky=blue blood=red lemon=yellow coal=black banana=yellow carrot=orange
cherry=red
chocolate=brown milk=white tomato=red spinach=green sun=yellow frog=green crow=black swan=white
strawberry=red
plum=purple night=black leaf=green cucumber=green pumpkin=orange salt=white cotton=white
flamingo=pink
elephant=grey sea=blue fire=red bread=brown butter=yellow pea=green sugar=white eggplant=purple
rice=white
emerald=green ruby=red sapphire=blue pig=pink mouse=grey canary=yellow brick=red ink=black
""")
THING_MATERIAL = pairs("""
table=wood window=glass tyre=rubber shirt=cotton sweater=wool knife=steel newspaper=paper
ring=gold coin=metal
shoe=leather candle=wax statue=marble jeans=denim brick=clay wire=copper bottle=glass mug=ceramic
sail=canvas
box=cardboard nail=iron belt=leather vase=porcelain door=wood sock=wool medal=gold bag=plastic
book=paper
bench=wood scarf=silk wall=brick
""")
THING_USE = pairs("""
knife=cut pen=write oven=bake bed=sleep chair=sit broom=sweep phone=call soap=wash car=drive
needle=sew
book=read camera=photograph shovel=dig axe=chop saw=saw oar=row towel=dry key=open clock=tell_time
lamp=light
cup=drink fork=eat piano=play brush=paint stove=cook fridge=cool scale=weigh ruler=measure
glue=stick
umbrella=stay_dry
""")
BODY_USE = pairs("""
eye=see ear=hear nose=smell tongue=taste hand=touch leg=walk tooth=chew lung=breathe brain=think
""")
PHRASES = pairs("""
salt_and=pepper bread_and=butter black_and=white up_and=down day_and=night cup_and=saucer
bacon_and=eggs
king_and=queen ladies_and=gentlemen lost_and=found thunder_and=lightning hide_and=seek
trial_and=error
rock_and=roll pros_and=cons supply_and=demand cats_and=dogs knife_and=fork husband_and=wife
true_or=false
now_or=never sooner_or=later more_or=less heads_or=tails trick_or=treat left_and=right
law_and=order
peace_and=quiet safe_and=sound wait_and=see step_by=step side_by=side little_by=little
word_for=word
hand_in=hand face_to=face back_to=back as_cold_as=ice as_busy_as_a=bee as_white_as=snow
as_light_as_a=feather
as_brave_as_a=lion as_blind_as_a=bat as_sly_as_a=fox once_upon_a=time happy_birthday_to=you
thank_you_very=much
nice_to_meet=you see_you=later good_morning_and_good=night the_sun_rises_in_the=east
a_week_has_seven=days
a_year_has_twelve=months better_late_than=never practice_makes=perfect time_is=money
the_early_bird_catches_the=worm
""")
COUNTRY_CURRENCY = pairs("""
Japan=yen China=yuan India=rupee Russia=ruble Mexico=peso Brazil=real Sweden=krona Norway=krone
Poland=zloty
England=pound Switzerland=franc Turkey=lira Thailand=baht Israel=shekel South_Korea=won
Vietnam=dong
Hungary=forint France=euro Germany=euro Spain=euro Italy=euro Australia=dollar Canada=dollar
Ukraine=hryvnia
Nigeria=naira Kenya=shilling Peru=sol Chile=peso Egypt=pound Morocco=dirham Indonesia=rupiah
Iran=rial Iraq=dinar
Bulgaria=lev Romania=leu
""")
