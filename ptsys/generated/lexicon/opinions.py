"""Words that praise and words that complain, and words of six emotions."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import groups, phrases, words

POSITIVE: tuple[str, ...] = words("""
good great excellent wonderful amazing fantastic brilliant superb marvellous terrific outstanding
exceptional
splendid lovely delightful charming enjoyable pleasant beautiful gorgeous stunning elegant
graceful funny
hilarious witty clever smart intelligent thoughtful insightful inventive original creative
imaginative fresh
refreshing exciting thrilling gripping absorbing engrossing compelling captivating fascinating
engaging
entertaining amusing fun touching moving heartfelt heartwarming poignant tender sweet warm sincere
honest
powerful memorable unforgettable impressive remarkable extraordinary magnificent glorious dazzling
spectacular
masterful perfect flawless polished skilful stylish vivid vibrant lively energetic spirited
playful joyful
cheerful uplifting inspiring inspired satisfying rewarding worthwhile worthy recommended favourite
best superior
solid strong sharp crisp smart rich deep subtle nuanced assured confident effective successful
winning
appealing likable lovable adorable endearing enchanting magical dreamy haunting intriguing
provocative daring
bold brave timely timeless classic authentic believable convincing credible realistic faithful
accurate
intelligible coherent tight taut brisk smooth delicious tasty flavourful friendly helpful
attentive generous
comfortable cosy clean spotless quiet spacious reliable sturdy fast quick responsive affordable
valuable handy
useful intuitive fabulous first-rate top-notch exquisite sublime tremendous awesome breathtaking
""")

NEGATIVE: tuple[str, ...] = words("""
bad terrible awful horrible dreadful poor weak dull boring tedious dreary tiresome tiring lifeless
flat bland
stale tired predictable formulaic derivative unoriginal cliched shallow superficial thin empty
hollow pointless
meaningless senseless silly stupid dumb idiotic foolish ridiculous absurd laughable embarrassing
pathetic sad
disappointing frustrating annoying irritating grating obnoxious unpleasant nasty ugly crude vulgar
offensive
tasteless disgusting gross repulsive vile cheap sloppy careless lazy clumsy awkward stilted wooden
stiff forced
contrived artificial fake phony pretentious pompous smug preachy heavy-handed overwrought
melodramatic sappy
sentimental cloying mawkish muddled messy confused confusing incoherent disjointed choppy uneven
unconvincing
implausible unbelievable unrealistic overlong endless slow sluggish plodding draggy repetitive
monotonous
uninspired unfunny humourless charmless joyless soulless bloated excessive noisy chaotic mediocre
inferior
second-rate third-rate lame feeble flimsy unsatisfying unwatchable unbearable painful miserable
depressing
dismal bleak grim worthless useless broken defective faulty unreliable fragile overpriced
expensive rude
unfriendly unhelpful dirty filthy smelly cold greasy soggy tasteless undercooked overcooked noisy
cramped
uncomfortable outdated inaccurate misguided ill-conceived amateurish half-baked inept incompetent
botched
wasted forgettable skippable regrettable worst disastrous catastrophic horrid lousy crummy shoddy
abysmal
atrocious appalling insulting irksome exasperating wearisome toothless aimless undercooked sour
bitter
""")

NEUTRAL_PRAISE: tuple[str, ...] = phrases("""
i loved it | we enjoyed every minute | a joy from start to finish | i would gladly come back
worth every penny
it exceeded my expectations | a real treat | it made me smile | i highly recommend it
it works like a charm
the best i have had in years | hard to beat | a must see | i could not put it down
it never loses its charm
a triumph | pure pleasure | everything i hoped for | well worth your time | it wins you over
""")

NEUTRAL_COMPLAINT: tuple[str, ...] = phrases("""
i hated it | a waste of time | not worth the money | i want my money back | i would never go back
avoid it
it fell apart in a week | i nearly fell asleep | it never comes together | it left me cold
stay away
the worst i have had in years | a complete mess | it goes nowhere | nothing works
i regret buying it
we walked out | it runs out of ideas | it adds up to nothing | it fails to deliver
""")

EMOTION_PHRASES: dict[str, tuple[str, ...]] = {
    "joy": phrases("""
i got the job today | my best friend is coming to visit | we won the game
the baby smiled at me | i feel so happy and light | what a wonderful morning
i can not stop smiling | i am delighted with my gift | everyone cheered for us
i am thrilled about the wedding
"""),
    "sadness": phrases("""
my dog died last night | i miss my grandmother so much | i feel empty and alone
she left without saying goodbye | i cried all evening | i failed the exam again
nobody came to my party | the house feels so lonely | i am heartbroken about the news
i feel hopeless and low
"""),
    "anger": phrases("""
he lied to me again | they stole my bike | i am sick of these delays | how dare she read my mail
i am furious with the landlord | stop shouting at me | i hate being ignored
my boss blamed me for his mistake | i could scream at them | this makes my blood boil
"""),
    "fear": phrases("""
someone is following me | i heard steps in the dark | i am scared of the storm
my hands shake before every exam | i am terrified of losing her | what if the plane falls
i do not dare to open the door | the noise in the cellar frightens me
i am afraid to sleep alone | i feel nervous and uneasy
"""),
    "surprise": phrases("""
i never expected to see you here | what, he is your brother | i can not believe we won a car
wow, that came out of nowhere | they planned a party and i had no idea
i was astonished by the news | suddenly the lights came on | i did not see that coming
the old man turned out to be a prince | i am amazed that it worked
"""),
    "love": phrases("""
i adore my little sister | you mean the world to me | i feel so close to you
he holds my hand and my heart melts | i cherish every day with my wife
she is the sweetest person i know | i am fond of my students | we care deeply for each other
my darling, i long for you | i feel tender toward him
"""),
}

EMOTION_WORDS: dict[str, tuple[str, ...]] = groups("""
joy: happy glad joyful cheerful delighted thrilled excited content merry pleased ecstatic
sadness: sad unhappy gloomy miserable heartbroken lonely sorrowful depressed down hopeless
anger: angry furious mad annoyed irritated enraged outraged resentful bitter cross
fear: afraid scared frightened terrified nervous anxious worried uneasy panicked alarmed
surprise: surprised amazed astonished stunned shocked startled speechless
love: loving tender affectionate fond devoted caring romantic adoring
""")
