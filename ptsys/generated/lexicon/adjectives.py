"""Adjectives and adverbs, and the pairs of words that mean the opposite or the same."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import groups, pairs, words

GRADABLE: tuple[str, ...] = words("""
big small tall short long wide narrow deep high low fast slow quick hot cold warm cool dry wet
hard soft
rough smooth sharp blunt thick thin fat slim heavy light strong weak loud quiet bright dark clean
dirty
cheap rich poor old young new fresh stale sweet sour salty bitter spicy tasty happy sad angry calm
busy lazy
funny silly clever smart wise brave bold shy proud humble kind rude polite nice mean gentle fierce
safe
risky easy simple tough strict fair cruel tidy messy neat pretty ugly lovely friendly lonely lucky
healthy
sick hungry thirsty sleepy noisy windy sunny rainy cloudy foggy icy snowy steep flat sturdy tiny
huge large
vast great grand fine firm loose tight crisp creamy crunchy juicy greasy dusty muddy sandy rocky
shiny dull
pale rare early late near close plain fancy odd weird strange stiff keen grumpy cosy shallow
mild wild
tame ripe raw bare bumpy curly fluffy furry hairy chubby skinny itchy jolly merry moody nasty
naughty nosy
scary sloppy smelly sticky tricky wealthy weary witty worthy
""")

LONG_ADJECTIVES: tuple[str, ...] = words("""
beautiful careful careless cheerful colourful comfortable common complex confident confusing
curious
dangerous delicate delicious delightful difficult dramatic eager elegant energetic enormous exciting
expensive
famous fashionable flexible foolish generous graceful grateful handsome harmful helpful helpless
honest
hopeful horrible hostile ideal important impressive independent innocent intelligent intense
interesting
jealous joyful logical loyal luxurious magical marvellous mature modern modest mysterious natural
nervous
normal obvious optimistic painful passionate patient peaceful playful pleasant popular positive
powerful
practical precious precise private productive professional profound realistic reasonable reliable
romantic
selfish sensible sensitive serious severe sincere skilful sociable spacious special splendid
stable
stressful stubborn successful suitable surprising suspicious talented terrible thoughtful tolerant
traditional useful useless valuable violent visible vivid vulnerable wasteful wonderful worried
youthful
adventurous ambitious ancient annoying anxious artificial attractive awful awkward boring
brilliant charming
civil clumsy competitive content convenient cooperative creative cunning decent dedicated
defensive deliberate
dependable desperate detailed determined devoted diligent disappointed diverse dominant dynamic
efficient
elaborate eloquent emotional enthusiastic exotic faithful fantastic fearful fearless fragile
frequent frozen
furious glamorous gloomy gorgeous gracious handy harsh hasty hollow ignorant imaginative immense
impatient
industrious inventive isolated lively luminous majestic massive memorable mighty miserable modern
muscular
neutral noble obedient original outgoing outstanding peculiar perfect persistent persuasive
pleased
pompous prosperous protective punctual radiant rational rebellious remarkable resilient respectful
responsible reckless relaxed rigid robust rural sarcastic scarce scientific secure serene shallow
silent
solemn solid spontaneous superb superior supportive talkative tender tense thorough thrifty timid
transparent
trustworthy unique upbeat urban vague versatile vigorous warmhearted zealous
""")

ADJECTIVES: tuple[str, ...] = tuple(dict.fromkeys(GRADABLE + LONG_ADJECTIVES))

ADVERBS: tuple[str, ...] = words("""
quickly slowly quietly loudly carefully happily sadly easily gently badly well rapidly suddenly
finally
recently nearly really simply clearly politely proudly bravely calmly eagerly honestly kindly
lightly neatly
openly perfectly rudely safely secretly seriously softly strangely strongly truly warmly wisely
patiently
""")

ANTONYMS: tuple[tuple[str, str], ...] = pairs("""
hot=cold big=small tall=short long=short wide=narrow deep=shallow high=low fast=slow wet=dry
hard=soft
rough=smooth sharp=blunt thick=thin fat=slim heavy=light strong=weak loud=quiet bright=dark
clean=dirty
cheap=expensive rich=poor old=young new=old fresh=stale sweet=sour happy=sad calm=nervous
busy=idle
lazy=diligent clever=stupid wise=foolish brave=cowardly shy=outgoing proud=humble kind=cruel
rude=polite
safe=dangerous easy=difficult simple=complex strict=lenient fair=unfair tidy=messy pretty=ugly
friendly=hostile lucky=unlucky healthy=sick hungry=full noisy=silent sunny=cloudy steep=flat
tiny=huge
large=little tight=loose shiny=dull rare=common early=late near=far plain=fancy strange=normal
wild=tame
ripe=unripe raw=cooked beautiful=hideous careful=careless comfortable=uncomfortable
confident=insecure
generous=stingy honest=dishonest hopeful=hopeless important=trivial interesting=boring
modern=ancient
modest=arrogant natural=artificial optimistic=pessimistic painful=painless patient=impatient
peaceful=violent
popular=unpopular positive=negative powerful=powerless private=public selfish=selfless
serious=funny
sincere=insincere stable=unstable successful=unsuccessful traditional=modern useful=useless
valuable=worthless
visible=invisible wonderful=awful temporary=permanent innocent=guilty awake=asleep alive=dead
empty=full
open=closed present=absent male=female married=single solid=liquid rural=urban vertical=horizontal
maximum=minimum minor=major inner=outer internal=external foreign=domestic guilty=innocent
legal=illegal
possible=impossible regular=irregular relevant=irrelevant sane=insane superior=inferior true=false
right=wrong left=right up=down in=out on=off over=under above=below before=after inside=outside
front=back top=bottom first=last always=never everything=nothing everyone=nobody here=there
now=then
yes=no push=pull open=close buy=sell give=take win=lose start=stop begin=end arrive=leave
enter=exit
come=go love=hate laugh=cry build=destroy create=destroy increase=decrease rise=fall expand=shrink
accept=reject allow=forbid agree=disagree remember=forget find=lose save=spend borrow=lend
teach=learn
ask=answer attack=defend catch=throw lock=unlock succeed=fail lead=follow praise=criticize
reward=punish
freeze=melt float=sink import=export hide=reveal join=separate strengthen=weaken lengthen=shorten
admit=deny approve=reject appear=vanish wake=sleep lift=drop raise=lower fill=empty sit=stand
day=night morning=evening summer=winter friend=enemy hero=villain king=queen boy=girl man=woman
brother=sister husband=wife father=mother uncle=aunt son=daughter teacher=student war=peace
life=death
love=hatred victory=defeat success=failure profit=loss question=answer truth=lie beginning=end
entrance=exit heaven=hell north=south east=west heat=cold light=darkness wealth=poverty
strength=weakness
success=failure advantage=disadvantage ceiling=floor departure=arrival future=past joy=sorrow
hope=despair
buyer=seller winner=loser adult=child giant=dwarf master=servant host=guest knowledge=ignorance
order=chaos pleasure=pain question=reply majority=minority demand=supply income=expense
bitter=sweet blunt=pointed bold=timid broad=narrow crooked=straight eager=reluctant elegant=clumsy
exciting=dull famous=unknown gradual=sudden harmful=harmless loyal=disloyal mild=severe odd=even
passive=active precise=vague professional=amateur real=fake rigid=flexible rapid=slow
scarce=plentiful
sour=sweet tense=relaxed transparent=opaque urgent=unimportant vacant=occupied vague=clear
victim=attacker
abundant=scarce accidental=deliberate ascend=descend attract=repel combine=separate conceal=reveal
construct=demolish deposit=withdraw encourage=discourage forgive=blame include=exclude
inhale=exhale
minimize=maximize optimist=pessimist permanent=temporary quality=quantity simplify=complicate
tragic=comic
unite=divide wealthy=poor wisdom=folly
""")

SYNONYMS: tuple[tuple[str, ...], ...] = tuple(
    (key, *values)
    for key, values in groups("""
big: large huge
small: little tiny
quick: fast rapid
happy: glad joyful
sad: unhappy sorrowful
angry: furious mad
smart: clever intelligent
pretty: beautiful lovely
ugly: hideous
brave: courageous bold
scared: afraid frightened
rich: wealthy
poor: needy
hard: difficult tough
easy: simple
begin: start commence
end: finish conclude
stop: halt cease
shut: close
buy: purchase
help: assist aid
answer: reply respond
ask: inquire
speak: talk
shout: yell
look: gaze
see: notice
jump: leap
run: sprint
walk: stroll
cry: weep
laugh: giggle
throw: toss
pull: drag
break: smash
build: construct
destroy: ruin demolish
repair: fix mend
hide: conceal
show: display
choose: select pick
get: obtain
keep: retain
give: donate
need: require
want: desire
love: adore
hate: detest
like: enjoy
think: believe
know: understand
teach: instruct
learn: study
allow: permit
forbid: prohibit
gather: collect
join: connect unite
separate: divide
increase: grow
reduce: decrease
change: alter modify
copy: imitate
damage: harm
win: triumph
lose: misplace
eat: consume devour
sleep: slumber
die: perish
rest: relax
try: attempt
use: employ
wait: linger
work: labour
house: home
child: kid
friend: companion
enemy: foe
doctor: physician
lawyer: attorney
teacher: instructor
car: automobile
road: street
boat: vessel
stone: rock
forest: woods
gift: present
job: occupation
error: mistake
danger: peril
idea: concept
story: tale
trip: journey
picture: image
sound: noise
smell: odour
money: cash
prize: award
boss: chief
city: town
war: conflict
goal: aim
rule: law
fear: terror
anger: rage
joy: delight
sorrow: grief
luck: fortune
trash: garbage
couch: sofa
pail: bucket
rug: carpet
autumn: fall
cold: chilly
hot: boiling
wet: damp soaked
dry: arid
clean: spotless
dirty: filthy
loud: noisy
quiet: silent
calm: peaceful
busy: occupied
lazy: idle
strong: powerful
weak: feeble
thin: slim
fat: plump
old: ancient elderly
new: modern recent
strange: odd weird
famous: renowned
rude: impolite
polite: courteous
kind: gentle
cruel: mean
honest: truthful
fair: just
true: correct
wrong: incorrect
safe: secure
dangerous: risky
cheap: inexpensive
expensive: costly
important: significant
boring: dull
funny: amusing
tasty: delicious
tired: weary
sick: ill
healthy: well
whole: entire
empty: vacant
enough: sufficient
sure: certain
quickly: rapidly
often: frequently
maybe: perhaps
near: close
far: distant
wonderful: marvellous
terrible: awful
eager: keen
stubborn: obstinate
shy: timid
modest: humble
loyal: faithful
genuine: real
fragile: delicate
enormous: gigantic
annual: yearly
assemble: gather
purchase: buy
assist: help
reply: answer
attempt: try
commence: begin
select: choose
glad: pleased
""").items()
)
