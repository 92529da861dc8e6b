"""Verbs in their plain form, and the irregular ones with their past."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import pairs, words

IRREGULAR_PAST: dict[str, str] = dict(
    pairs("""
be=was become=became begin=began bend=bent bet=bet bite=bit bleed=bled blow=blew break=broke
breed=bred
bring=brought build=built burst=burst buy=bought cast=cast catch=caught choose=chose cling=clung
come=came
cost=cost creep=crept cut=cut deal=dealt dig=dug do=did draw=drew drink=drank drive=drove eat=ate
fall=fell
feed=fed feel=felt fight=fought find=found flee=fled fly=flew forbid=forbade forget=forgot
forgive=forgave
freeze=froze get=got give=gave go=went grind=ground grow=grew hang=hung have=had hear=heard
hide=hid hit=hit
hold=held hurt=hurt keep=kept kneel=knelt know=knew lay=laid lead=led leave=left lend=lent let=let
lie=lay
lose=lost make=made mean=meant meet=met mistake=mistook overcome=overcame overtake=overtook
pay=paid put=put
quit=quit read=read ride=rode ring=rang rise=rose run=ran say=said see=saw seek=sought sell=sold
send=sent
set=set shake=shook shine=shone shoot=shot show=showed shrink=shrank shut=shut sing=sang sink=sank
sit=sat
sleep=slept slide=slid speak=spoke spend=spent spin=spun split=split spread=spread stand=stood
steal=stole
stick=stuck sting=stung strike=struck swear=swore sweep=swept swim=swam swing=swung take=took
teach=taught
tear=tore tell=told think=thought throw=threw undergo=underwent understand=understood undo=undid
wake=woke
wear=wore weave=wove weep=wept win=won wind=wound withdraw=withdrew write=wrote rebuild=rebuilt
rewrite=rewrote foresee=foresaw mislead=misled outgrow=outgrew
""")
)

REGULAR: tuple[str, ...] = words("""
accept accuse achieve act adapt add adjust admire admit adopt advise afford agree aim allow amuse
analyze
announce annoy answer apologize appear applaud apply appoint approach approve argue arrange arrest
arrive ask
assemble assist assume attach attack attempt attend attract avoid bake balance ban bark bathe beg
behave
belong blame blend bless blink boast boil borrow bounce bow brush burn bury calculate call camp
cancel care
carry carve celebrate challenge change charge chase chat cheat check cheer chew chop claim clap
clean clear
climb close collect combine command compare compete complain complete compose concentrate confess
confirm
confuse connect consider consist construct consult contain continue control convince cook copy
correct
cough count cover crack crash crawl create criticize cross crush cry cure damage dance dare decay
decide
declare decorate decrease defend delay deliver demand deny depart depend describe deserve design
destroy
detect develop disagree disappear discover discuss dislike divide donate double doubt drag dream
dress drift
drip drop drown dry earn educate embrace employ encourage end enjoy enter entertain escape
establish estimate
examine exist expand expect explain explode explore express extend face fade fail fasten fax fear
fetch file
fill film finish fix flap flash float flood flow fold follow force form frame frighten fry gain
gather gaze
glow glue grab greet grin grip grunt guard guess guide hammer handle happen harm hate heal heat
help hesitate
hope hug hum hunt hurry identify ignore imagine impress improve include increase influence inform
inject
insist inspect inspire install instruct insult intend interrupt introduce invent invest invite
iron jog join
joke judge juggle jump kick kill kiss knit knock label land last laugh launch learn lick lift like
list listen
live load lock look love manage march mark marry match matter measure melt memorize mend mention
merge milk
miss mix moan modify move multiply murmur nail need nod notice obey object observe obtain occur
offend offer
open operate order organize owe own pack paint park participate pass paste pause peel peep perform
permit
persuade phone pick place plan plant play please plug point polish possess pour practise praise
pray predict
prefer prepare present preserve press pretend prevent print produce promise promote protect prove
provide pull
pump punch punish push question race rain raise reach realize receive recognize recommend record
reduce
reflect refuse regret reject relax release rely remain remember remind remove rent repair repeat
replace reply
report request require rescue resist respect respond rest retire return reveal review reward rinse
risk roar
rob roll rub ruin rule rush sail satisfy save scatter scold scratch scream search select separate
serve settle
sew share shave shelter shiver shock shop shout sigh sign signal skip slap slip slow smash smile
smoke snatch
sneeze sniff snore soak solve sort spark sparkle spill spoil spot spray sprinkle squeeze stain
stamp stare
start stay step stir stitch stop store strengthen stretch stroll study succeed suffer suggest
supply support
suppose surprise surround suspect suspend sway switch talk tap taste tease tempt test thank tick
tickle tie
tip touch tour trace trade train transfer translate transport trap travel treat tremble trick trip
trust try
tug tumble twist type unite unlock unpack update use value vanish visit volunteer vote wait walk
wander want
warm warn wash waste watch water wave welcome whisper whistle wink wipe wish wonder work worry
wrap wrestle
yawn yell zip zoom
""")

DOUBLING: frozenset[str] = frozenset(
    words("""
admit ban beg chat chop clap commit drag drip drop equip flap grab grin grip hop hug hum jog knit
nod occur
permit plan plug prefer refer regret rob rub scan scrub ship shop skip slap slip spot stir step stop
tap tip trap
travel trip tug wrap zip rid run sit swim win begin cut dig forget get hit put quit set shut spin
split forbid
bet let cancel control
""")
)

VERBS: tuple[str, ...] = tuple(
    dict.fromkeys(tuple(v for v in IRREGULAR_PAST if v not in {"be"}) + REGULAR)
)
