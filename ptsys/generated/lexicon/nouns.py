"""Nouns by category: what we call things of each kind."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import groups, words

COUNTABLE: dict[str, tuple[str, ...]] = groups("""
animal: dog cat horse cow pig sheep goat donkey mule camel llama alpaca lion tiger leopard cheetah
jaguar
 panther lynx bear panda koala kangaroo wallaby wombat elephant rhino hippo giraffe zebra antelope
 gazelle
 deer moose elk bison buffalo ox wolf fox coyote jackal hyena badger otter beaver weasel ferret
 mink skunk
 raccoon squirrel chipmunk rabbit hare mouse rat hamster gerbil hedgehog mole bat monkey ape
 gorilla
 chimpanzee baboon lemur sloth armadillo anteater platypus seal walrus dolphin whale porpoise
 turtle
 tortoise lizard gecko iguana chameleon snake cobra python viper crocodile alligator frog toad
 newt
 salamander tapir puma cougar boar reindeer mammoth
bird: eagle hawk falcon owl crow raven magpie robin sparrow finch swallow thrush starling pigeon
dove parrot
 parakeet canary cockatoo macaw toucan hummingbird woodpecker kingfisher heron stork crane
 flamingo pelican
 swan goose duck chicken hen rooster turkey pheasant quail partridge peacock ostrich emu penguin
 albatross
 gull puffin cuckoo nightingale lark wren vulture kestrel buzzard ibis
insect: ant bee wasp hornet fly mosquito gnat moth butterfly beetle ladybug cricket grasshopper
locust
 dragonfly cockroach termite flea louse aphid mantis firefly midge weevil
fish: salmon trout tuna cod herring sardine mackerel carp pike perch bass catfish eel shark ray
halibut
 haddock anchovy swordfish barracuda goldfish piranha sturgeon sole plaice minnow
fruit: apple pear peach plum apricot cherry grape lemon lime orange tangerine grapefruit mandarin
banana
 mango papaya pineapple guava kiwi fig date melon watermelon strawberry raspberry blackberry
 blueberry
 cranberry gooseberry currant mulberry pomegranate persimmon lychee coconut nectarine quince
 avocado
 clementine cantaloupe raisin prune
vegetable: carrot potato tomato onion leek cabbage turnip parsnip radish beet cucumber zucchini
pumpkin
 squash eggplant pepper bean pea lentil chickpea artichoke mushroom yam shallot gherkin courgette
 chili
 sprout marrow
tree: oak elm ash birch beech maple willow poplar pine fir spruce cedar cypress larch yew hazel
chestnut
 walnut sycamore redwood palm eucalyptus acacia juniper magnolia hawthorn alder
flower: rose tulip daisy lily orchid violet daffodil sunflower carnation poppy iris lavender
marigold
 peony dahlia hyacinth snowdrop buttercup bluebell geranium petunia jasmine crocus primrose pansy
 begonia
furniture: chair table sofa couch bed desk shelf bookcase cupboard wardrobe dresser cabinet stool
bench
 armchair nightstand drawer footstool crib sideboard bunk recliner hammock rocker ottoman divan
tool: hammer saw drill wrench screwdriver pliers chisel axe shovel rake hoe spade pickaxe file
plane clamp
 vise crowbar mallet ladder trowel sander lathe level hatchet sickle anvil shears wheelbarrow
 pitchfork jack
vehicle: car truck bus van taxi bicycle motorcycle scooter tram train subway lorry ambulance
tractor
 bulldozer minivan limousine jeep airplane helicopter jet glider balloon rocket ship boat ferry
 yacht canoe
 kayak raft submarine barge tanker carriage wagon cart sled moped trolley
garment: shirt blouse sweater jumper cardigan jacket coat vest dress skirt suit tie scarf glove
mitten hat
 cap beret sock stocking shoe boot sandal slipper belt apron robe gown raincoat hoodie tunic shawl
 kimono
 bonnet poncho sneaker bikini tuxedo
instrument: piano organ guitar violin viola cello harp banjo ukulele mandolin lute flute clarinet
oboe
 bassoon saxophone trumpet trombone tuba horn drum cymbal tambourine xylophone accordion harmonica
 bagpipe
 gong lyre keyboard bugle recorder triangle piccolo zither
profession: teacher doctor nurse lawyer judge engineer architect carpenter plumber electrician
painter
 farmer fisherman baker butcher chef waiter barber tailor shoemaker blacksmith jeweler florist
 gardener
 librarian journalist editor writer poet actor singer dancer musician photographer pilot sailor
 soldier
 policeman firefighter detective dentist surgeon pharmacist veterinarian scientist chemist
 biologist
 astronomer programmer accountant banker cashier secretary manager mechanic driver miner mason
 cleaner
 porter translator professor coach priest astronaut optician beekeeper shepherd lumberjack
 plasterer
 sculptor clerk janitor referee
relative: mother father sister brother aunt uncle cousin niece nephew grandmother grandfather
daughter son
 husband wife grandson granddaughter stepmother twin godfather bride groom
body part: head face eye ear nose mouth lip tooth tongue chin cheek forehead neck shoulder arm
elbow wrist
 hand finger thumb chest back stomach waist hip leg knee ankle foot toe heel heart lung liver
 kidney brain
 bone muscle rib spine skull throat eyebrow eyelid nostril palm fist thigh shin nail jaw
building: house cottage cabin palace castle tower church cathedral temple mosque chapel monastery
school
 university library museum theater cinema hospital hotel factory warehouse barn stable garage
 office bank
 prison court station airport lighthouse windmill stadium restaurant bakery supermarket skyscraper
 mansion
 bungalow villa apartment greenhouse shed fortress gallery pharmacy embassy hostel inn
kitchen item: fork knife spoon plate bowl cup mug glass saucer jar jug kettle teapot pan pot wok
oven stove
 fridge freezer toaster blender mixer grater whisk ladle spatula strainer colander peeler
 corkscrew tray
 napkin dishwasher microwave tongs rolling_pin cutting_board teaspoon
household item: lamp candle candlestick mirror clock curtain carpet rug pillow blanket cushion
towel broom
 mop bucket vase basket brush comb umbrella key lock bell picture frame bottle box bag suitcase
 wallet purse
 envelope stamp pen pencil eraser ruler notebook scissors stapler needle thimble button zipper
 razor
 toothbrush sponge doormat hanger lantern flashlight battery matchbox thermometer calendar globe
 magnet
 ribbon rope
device: computer laptop tablet phone telephone television radio camera printer scanner keyboard
speaker
 headphone microphone projector calculator monitor router charger remote console robot drone
 telescope
 microscope compass watch
toy: doll puzzle kite marble yo-yo teddy puppet spinning_top dice rattle swing slide whistle
jigsaw pinwheel
 trampoline skateboard boomerang
jewel: ring necklace bracelet earring brooch pendant crown tiara anklet medal cufflink locket
weapon: sword dagger spear bow arrow pistol rifle cannon bomb grenade shield club lance musket
catapult
 torpedo
landform: mountain hill valley river lake sea ocean island desert forest beach cliff cave canyon
volcano
 glacier waterfall plain plateau swamp meadow bay peninsula lagoon reef dune stream pond jungle
 prairie gorge
 ridge summit marsh
shape: circle square triangle rectangle oval star pentagon hexagon octagon cube sphere cone
cylinder pyramid
 diamond spiral cross
dish: pizza burger sandwich soup stew curry pie pancake waffle omelette taco burrito sausage
noodle dumpling
 casserole kebab lasagna pretzel biscuit cracker cookie cake muffin doughnut croissant bagel tart
 pudding
 brownie meatball steak hotdog
""")

UNCOUNTABLE: dict[str, tuple[str, ...]] = groups("""
colour: red blue green yellow orange purple pink brown black white grey violet indigo turquoise
crimson
 scarlet maroon beige cream gold silver teal navy olive magenta cyan lavender lilac khaki amber
 coral
 burgundy mauve
sport: football basketball baseball tennis volleyball golf hockey rugby cricket swimming boxing
wrestling
 judo karate fencing archery rowing sailing surfing skiing skating cycling gymnastics badminton
 handball
 squash polo softball bowling climbing curling diving athletics lacrosse
material: wood iron steel copper tin zinc lead aluminium bronze brass gold silver platinum glass
plastic
 rubber leather cotton wool silk linen paper cardboard clay concrete stone marble granite brick
 cement
 ceramic porcelain nylon velvet denim canvas wax ivory bamboo felt
drink: water milk juice tea coffee cocoa beer wine cider whisky vodka rum gin brandy champagne
lemonade soda
 cola smoothie
spice: salt pepper cinnamon ginger garlic basil oregano thyme rosemary mint parsley saffron cumin
paprika
 nutmeg vanilla turmeric clove sage mustard dill coriander
weather: rain snow hail sleet fog mist wind storm thunder lightning sunshine frost drizzle
blizzard
 hurricane tornado cloud breeze drought heatwave
emotion: joy anger fear sadness love hate envy pride shame guilt surprise disgust hope grief
delight
 boredom jealousy anxiety relief gratitude loneliness excitement rage sorrow contempt
school subject: mathematics physics chemistry biology history geography literature philosophy
economics
 algebra geometry astronomy psychology sociology grammar drawing
language: English French German Spanish Italian Portuguese Dutch Swedish Norwegian Danish Finnish
Polish
 Russian Greek Turkish Arabic Hebrew Hindi Chinese Japanese Korean Thai Latin Swahili Hungarian
 Czech
month: January February March April May June July August September October November December
day: Monday Tuesday Wednesday Thursday Friday Saturday Sunday
number: one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen
 seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
 thousand million
planet: Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune
gas: oxygen hydrogen nitrogen helium neon argon methane ozone
dance: waltz tango salsa ballet polka samba rumba flamenco foxtrot jive
game: chess poker checkers bingo dominoes backgammon hopscotch solitaire bridge charades
abstract idea: freedom justice truth peace wisdom knowledge beauty courage honour honesty patience
kindness
 loyalty friendship trust faith luck time history culture progress success failure power wealth
 poverty
 health education memory imagination curiosity science logic reason democracy equality
 responsibility
 ambition danger safety silence chaos order mystery destiny opinion idea theory belief doubt
 purpose value
 choice effort talent skill experience advice evidence energy charm mercy virtue fame glory
 respect dignity
 tradition happiness humour innocence liberty morality
""")

CATEGORIES: dict[str, tuple[str, ...]] = {**COUNTABLE, **UNCOUNTABLE}

PLURALS_OF_LABELS: dict[str, str] = {
    "fish": "fish",
    "body part": "body parts",
    "number": "numbers",
    "country": "countries",
    "city": "cities",
    "weather": "weather words",
    "gas": "gases",
    "furniture": "pieces of furniture",
    "dish": "dishes",
}

OBJECTS: tuple[str, ...] = tuple(
    dict.fromkeys(
        word
        for name in (
            "furniture",
            "tool",
            "vehicle",
            "garment",
            "instrument",
            "kitchen item",
            "household item",
            "device",
            "toy",
            "jewel",
            "dish",
        )
        for word in COUNTABLE[name]
    )
)

OTHER_NOUNS: tuple[str, ...] = words("""
account address advantage age agreement amount answer area argument army article artist attack
audience
author baby ball band bar base bill birth birthday block blood board boss boy branch bread
breakfast bridge
budget bug business cable camp campaign capital card career case cash cause cell center century
champion
chance change channel chapter character chief child choice city class client climate coast code
coin college
comment committee company competition concert condition conference contact contract conversation
copy corner
cost country couple course cover credit crew crime crisis crowd culture customer cycle data day
deal death
debate debt decision degree delivery demand department deposit design detail diet difference
dinner direction
disaster discount disease district doctor document dollar door dream duty economy edge effect
election
engine entrance error event exam example exercise exit factor fact fan farm fashion fault feature
festival
field fight figure film fire firm flag flat flight floor focus food form friend front fuel fund
future game
garden gate gift girl goal government grade grain grass group growth guard guest guide guy hair
hall harbor
heat height hero hobby hole holiday home hour human hunger image income industry injury insurance
interest
interview invention invoice issue item job joke journey journal kid king kingdom lab labour lady
language law
lawn layer leader leaf lecture length lesson letter level life light limit line link list loan
location logo
loss lunch machine magazine mail majority man map mark market marriage match mayor meal meaning
measure media
meeting member menu message metal meter method middle mind mine minister minute mirror mission
mistake model
moment money mood moon morning movie music name nation nature network news newspaper night noise
note novel
number object oil opportunity option order owner package page pain paint pair parade parent park
part partner
party passenger passport password past path patient pattern payment people period permit person
pet piece
pipe place plan planet plant player pocket poem point police policy pool population port position
post
pressure price prince princess prize problem process product profit program project property
protest queen
question queue race rate reader receipt recipe record region relation rent report request research
resource
result review reward rise risk road rock role roof room route row rule salary sale sample sand
sauce scene
schedule season seat second secret sentence series service session shade shadow shelter shift shop
shore shot
show side sign signal site size skin sky sleep smile smell smoke society soil solution song sound
source
space speech speed spirit spot spring stage stair stand state statement statue step stock store
story strategy
street strike student style summer sun surface survey symbol system tail tale target task taste
tax team
technology temperature tent test text theme thing thought ticket tip title tone topic total tour
tourist
town track trade traffic trail treasure treatment trial trick trip truth tunnel type union unit
user
vacation version victim victory video view village visit visitor voice vote voyage wage wall war
waste wave
way wealth web wedding week weight wheel wing winner winter wire witness woman word work worker
world wound
writing yard year youth zone
""")

FUNCTION_WORDS: tuple[str, ...] = words("""
the a an and or but if because while although since until unless about above across after against
along among
around at before behind below beneath beside between beyond by despite down during except for from
in inside
into like near of off on onto out outside over past through toward under up upon with within
without I you he
she it we they me him her us them my your his its our their mine yours ours this that these those
who whom
whose which what when where why how not never always often sometimes usually rarely here there now
then soon
very quite too almost just only still already yet again also perhaps maybe each every some any
many few
several all both either neither none myself yourself himself herself itself ourselves themselves
""")
