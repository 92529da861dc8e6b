"""Names of people, places, organisations and products; the countries with what is known of them."""

from __future__ import annotations

from ptsys.generated.lexicon.parse import pairs, phrases, words

FIRST_NAMES: tuple[str, ...] = words("""
Adam Alan Albert Alice Amanda Amy Andrea Andrew Angela Anna Anthony Arthur Barbara Ben Bella Brian
Bruce
Carla Carlos Carol Caroline Catherine Charles Charlotte Chloe Chris Claire Clara Colin Daniel
David Deborah
Dennis Diana Diego Donald Dora Edgar Edward Elena Eleanor Elizabeth Ella Emily Emma Eric Esther
Ethan Eva Felix
Fiona Frances Frank Fred Gary George Grace Graham Hannah Harold Harry Hassan Heather Helen Henry
Hugo Ian Irene
Isaac Isabel Ivan Jack Jacob James Jane Janet Jason Jean Jennifer Jessica Joan John Jonas Joseph
Joshua Juan
Judith Julia Karen Karl Kate Kenneth Kevin Laura Lauren Leo Leon Lewis Linda Lisa Louis Lucas Lucy
Luis Luke
Marco Margaret Maria Mark Martha Martin Mary Matthew Maya Megan Michael Miguel Mohamed Monica
Nadia Nancy
Natalie Nathan Neil Nicholas Nina Noah Nora Oliver Olivia Omar Oscar Pablo Patricia Patrick Paul
Paula Pedro
Peter Philip Priya Rachel Ralph Raymond Rebecca Richard Robert Roger Rosa Ruth Ryan Sam Samuel
Sandra Sara
Scott Sergei Simon Sofia Sophie Stella Stephen Steven Susan Sven Teresa Thomas Timothy Tom Tony
Vera Victor
Victoria Vincent Walter Wei Wendy William Yusuf Zoe Akira Chen Fatima Giorgio Ingrid Javier Kenji
Lars Magnus
Olga Pierre Raj Svetlana Tariq Yuki
""")

SURNAMES: tuple[str, ...] = words("""
Adams Allen Anderson Bailey Baker Barnes Bell Bennett Brooks Brown Burns Butler Campbell Carter
Chapman Clark
Cole Coleman Collins Cook Cooper Cox Crawford Cruz Davies Davis Diaz Dixon Edwards Ellis Evans
Fisher Fleming
Ford Foster Fox Fraser Garcia Gibson Gomez Gonzalez Gordon Graham Grant Gray Green Griffin Hall
Hamilton Harris
Harrison Hayes Henderson Hill Holmes Howard Hughes Hunt Hunter Ibrahim Ivanov Jackson Jenkins
Jensen Johnson
Jones Jordan Kelly Kennedy Khan Kim Kowalski Kumar Larsen Lawson Lee Lewis Lopez Marshall Martin
Martinez Mason
Meyer Miller Mitchell Moore Morgan Morris Muller Murphy Murray Myers Nakamura Nelson Newman Nguyen
Novak Olsen
Ortiz Owens Palmer Parker Patel Patterson Perez Perry Peters Petrov Phillips Porter Powell Price
Ramirez Reed
Reynolds Richards Rivera Roberts Robinson Rodriguez Rogers Rossi Russell Sanchez Sanders Schmidt
Schneider Scott
Shaw Silva Simmons Simpson Singh Smith Spencer Stevens Stewart Sullivan Suzuki Tanaka Taylor
Thompson Torres
Tucker Turner Wagner Walker Wallace Ward Warren Watson Weaver Webb Weber West White Williams
Wilson Wood
Woods Wright Yamamoto Young Zhang
""")

#: country = capital : continent : language : adjective
_COUNTRIES = """
France=Paris:Europe:French:French Germany=Berlin:Europe:German:German
Spain=Madrid:Europe:Spanish:Spanish
Italy=Rome:Europe:Italian:Italian Portugal=Lisbon:Europe:Portuguese:Portuguese
England=London:Europe:English:English Ireland=Dublin:Europe:English:Irish
Netherlands=Amsterdam:Europe:Dutch:Dutch Belgium=Brussels:Europe:Dutch:Belgian
Austria=Vienna:Europe:German:Austrian Switzerland=Bern:Europe:German:Swiss
Denmark=Copenhagen:Europe:Danish:Danish Sweden=Stockholm:Europe:Swedish:Swedish
Norway=Oslo:Europe:Norwegian:Norwegian Finland=Helsinki:Europe:Finnish:Finnish
Iceland=Reykjavik:Europe:Icelandic:Icelandic Poland=Warsaw:Europe:Polish:Polish
Hungary=Budapest:Europe:Hungarian:Hungarian Romania=Bucharest:Europe:Romanian:Romanian
Bulgaria=Sofia:Europe:Bulgarian:Bulgarian Greece=Athens:Europe:Greek:Greek
Croatia=Zagreb:Europe:Croatian:Croatian Serbia=Belgrade:Europe:Serbian:Serbian
Slovenia=Ljubljana:Europe:Slovene:Slovenian Ukraine=Kyiv:Europe:Ukrainian:Ukrainian
Russia=Moscow:Europe:Russian:Russian Turkey=Ankara:Asia:Turkish:Turkish
Estonia=Tallinn:Europe:Estonian:Estonian
Latvia=Riga:Europe:Latvian:Latvian Lithuania=Vilnius:Europe:Lithuanian:Lithuanian
Albania=Tirana:Europe:Albanian:Albanian China=Beijing:Asia:Chinese:Chinese
Japan=Tokyo:Asia:Japanese:Japanese
South_Korea=Seoul:Asia:Korean:Korean India=New_Delhi:Asia:Hindi:Indian
Pakistan=Islamabad:Asia:Urdu:Pakistani
Nepal=Kathmandu:Asia:Nepali:Nepalese Bangladesh=Dhaka:Asia:Bengali:Bangladeshi
Thailand=Bangkok:Asia:Thai:Thai Vietnam=Hanoi:Asia:Vietnamese:Vietnamese
Indonesia=Jakarta:Asia:Indonesian:Indonesian Malaysia=Kuala_Lumpur:Asia:Malay:Malaysian
Philippines=Manila:Asia:Filipino:Filipino Mongolia=Ulaanbaatar:Asia:Mongolian:Mongolian
Iran=Tehran:Asia:Persian:Iranian Iraq=Baghdad:Asia:Arabic:Iraqi Syria=Damascus:Asia:Arabic:Syrian
Israel=Jerusalem:Asia:Hebrew:Israeli Jordan=Amman:Asia:Arabic:Jordanian
Lebanon=Beirut:Asia:Arabic:Lebanese
Saudi_Arabia=Riyadh:Asia:Arabic:Saudi Qatar=Doha:Asia:Arabic:Qatari
Afghanistan=Kabul:Asia:Pashto:Afghan
Egypt=Cairo:Africa:Arabic:Egyptian Morocco=Rabat:Africa:Arabic:Moroccan
Algeria=Algiers:Africa:Arabic:Algerian
Tunisia=Tunis:Africa:Arabic:Tunisian Libya=Tripoli:Africa:Arabic:Libyan
Kenya=Nairobi:Africa:Swahili:Kenyan
Ethiopia=Addis_Ababa:Africa:Amharic:Ethiopian Ghana=Accra:Africa:English:Ghanaian
Nigeria=Abuja:Africa:English:Nigerian Senegal=Dakar:Africa:French:Senegalese
Uganda=Kampala:Africa:English:Ugandan Zambia=Lusaka:Africa:English:Zambian
Angola=Luanda:Africa:Portuguese:Angolan Somalia=Mogadishu:Africa:Somali:Somali
Canada=Ottawa:North_America:English:Canadian Mexico=Mexico_City:North_America:Spanish:Mexican
Cuba=Havana:North_America:Spanish:Cuban Jamaica=Kingston:North_America:English:Jamaican
Panama=Panama_City:North_America:Spanish:Panamanian
Honduras=Tegucigalpa:North_America:Spanish:Honduran
Brazil=Brasilia:South_America:Portuguese:Brazilian
Argentina=Buenos_Aires:South_America:Spanish:Argentine
Chile=Santiago:South_America:Spanish:Chilean Peru=Lima:South_America:Spanish:Peruvian
Colombia=Bogota:South_America:Spanish:Colombian Venezuela=Caracas:South_America:Spanish:Venezuelan
Ecuador=Quito:South_America:Spanish:Ecuadorian Uruguay=Montevideo:South_America:Spanish:Uruguayan
Bolivia=La_Paz:South_America:Spanish:Bolivian Australia=Canberra:Oceania:English:Australian
New_Zealand=Wellington:Oceania:English:New_Zealander Fiji=Suva:Oceania:English:Fijian
"""

#: country -> (capital, continent, language, adjective)
COUNTRIES: dict[str, tuple[str, ...]] = {
    country: tuple(facts.split(":")) for country, facts in pairs(_COUNTRIES)
}

CITIES: tuple[str, ...] = words("""
Boston Chicago Denver Dallas Houston Seattle Miami Atlanta Phoenix Portland Detroit Baltimore
Memphis Austin
Nashville Cleveland Toronto Montreal Vancouver Calgary Liverpool Manchester Leeds Bristol Glasgow
Edinburgh
Oxford Cambridge Lyon Marseille Nice Bordeaux Munich Hamburg Cologne Frankfurt Dresden Milan
Naples Turin
Venice Florence Barcelona Seville Valencia Porto Geneva Zurich Basel Rotterdam Antwerp Krakow
Prague Osaka
Kyoto Shanghai Mumbai Chennai Karachi Lahore Sydney Melbourne Perth Brisbane Auckland Johannesburg
Durban
Lagos Casablanca Istanbul Dubai Haifa Odessa Kazan Salzburg Bergen Malmo Cordoba Rosario Medellin
""")

CAPITALS: tuple[str, ...] = tuple(facts[0] for facts in COUNTRIES.values())
PLACES: tuple[str, ...] = tuple(dict.fromkeys(CITIES + CAPITALS + tuple(COUNTRIES)))

_FIRM_STEMS = words("""
Alpine Apex Arrow Atlas Aurora Beacon Blue_Ridge Brightwater Cascade Centra Clearview Cobalt Coral
Crestline
Delta Eastgate Evergreen Falcon Fairfield Granite Greenleaf Harbor Highland Horizon Ironwood
Juniper Keystone
Lakeside Lumen Meridian Midland Monarch Northwind Novara Oakwood Orion Pacific Pinnacle Quantum
Redstone
Riverside Sapphire Silverline Solara Summit Sunrise Titan Trident Union Vertex Westbrook Zenith
""")
_FIRM_ENDINGS = words("""
Bank Airlines Motors Foods Energy Systems Software Insurance Group Industries Electronics Media
Holdings
Pharma Steel Telecom Labs Studios Logistics Stores
""")
_CLUB_ENDINGS = words("United City Rovers Athletic Wanderers Rangers Tigers Hawks Lions")

ORGANISATIONS: tuple[str, ...] = (
    tuple(
        f"{stem} {_FIRM_ENDINGS[(7 * n + step) % len(_FIRM_ENDINGS)]}"
        for n, stem in enumerate(_FIRM_STEMS)
        for step in (0, 5, 11)
    )
    + tuple(f"{stem} Corp" for stem in _FIRM_STEMS[::3])
    + tuple(
        phrases("""
the World Trade Council | the Ministry of Finance | the Red Cross | the United Nations
the National Bank
the Health Agency | the Workers Party | the Green Party | the Central Court | the European Council
the Farmers Union | the Space Agency | the Football League | the Film Academy
""")
    )
)
TEAMS: tuple[str, ...] = (
    tuple(f"{city} {_CLUB_ENDINGS[n % len(_CLUB_ENDINGS)]}" for n, city in enumerate(CITIES))
    + CITIES[20:60]
)

#: Invented product names and their invented makers.
PRODUCTS: tuple[tuple[str, str], ...] = tuple(
    (f"{stem}{tail}", _FIRM_STEMS[(3 * n + m) % len(_FIRM_STEMS)])
    for n, stem in enumerate(
        words("Lumi Zeno Vexa Orbi Tavo Nimbo Quil Rondo Sona Velo Kiro Pixa Mira Talo")
    )
    for m, tail in enumerate(
        (" Watch", " Phone 3", " Tab", " Speaker", " Pro", "Pad", "Cam", " Air 2")
    )
)
