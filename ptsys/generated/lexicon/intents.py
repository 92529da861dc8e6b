"""What people ask an assistant: domains, intents, and ways to say them.

A block begins with `# domain`; an intent with `= name ; other label ; ...`; then ways to say it,
split
by `|`. In a way, `(a/b)` is one of its parts, `{slot}` is filled in, and a leading `!` marks a
command,
which may get `please`, `can you`, `i want to` before it.
"""

from __future__ import annotations

from dataclasses import dataclass

_TEXT = """
# travel
= book flight ; flight ; plane ticket
!(book/reserve/get) (me/us/) a flight to {city}
!find (cheap/direct/) flights from {city} to {city}
(i need/we need) a plane ticket to {city} {day}
!fly me to {city} {day} | are there any (seats/flights) to {country} {day}
!buy two (airline/plane) tickets to {city}
i am looking for a (morning/night/direct) flight to {city} | what flights leave for {city} {day}
= flight status ; delay ; is it late
is (my/the) flight (delayed/on time/late) | when does flight {number} (land/arrive/depart)
!check the status of flight {number} | has the plane from {city} (landed/arrived)
what gate does (my/the) flight leave from | will my flight to {city} leave on time
(did/has) flight {number} (leave/left) already | !tell me when the {city} flight lands
= book hotel ; hotel ; accommodation
!(book/reserve/find) a (hotel/hotel room/room) in {city}
i need (a place to stay/somewhere to sleep) in {city} {day}
!find (me/us) a cheap (hotel/hostel/guest house) near {place}
are there (hotels/rooms) free in {city} {day} | we want a double room for {smallnumber} nights
which hotels in {city} have a pool | !get me a suite in {city}
can i stay (at a hotel/in an inn) near {place}
= lost luggage ; baggage ; missing bag
my (luggage/suitcase/bag) (did not arrive/is missing/got lost)
the airline lost my (bags/suitcase) | where is my (baggage/luggage)
(i can not/we can not) find my suitcase at the airport | !report a lost (bag/suitcase)
who do i call about (missing/lost) luggage | my bags never came off the plane
!track my lost luggage
= travel visa ; visa ; entry papers
do i need a visa (for/to enter) {country} | how do i get a visa for {country}
!apply for a (tourist/travel) visa to {country} | can i (enter/visit) {country} without a visa
what papers do i need to travel to {country} | how long does a {country} visa take
are visas required in {country} | is a passport enough for {country}
= plug type ; socket ; adapter
what (plug/socket/outlet) do they use in {country}
do i need (an adapter/a converter) in {country} | will my charger work in {country}
which adapter should i pack for {country} | are the (sockets/plugs) different in {country}
what voltage is used in {country} | do {country} outlets fit my plug
can i plug in my hair dryer in {city}
= translate ; translation ; foreign words
how do you say {word} in {language} | !translate {word} (into/to) {language}
what is the {language} (word/expression) for {word} | what does {word} mean in {language}
how would i (say/write) {word} if i was in {country} | !tell me {word} in {language}
can you speak {language}, what is {word} | what do they call a {item} in {language}
= currency rate ; currency ; money exchange
what is the exchange rate (between/of) the dollar (and/to) the {currency}
how many {currency} do i get for {amount} | !convert {amount} (to/into) {currency}
how much is {amount} in {currency} | what is a {currency} worth (today/now)
is it a good day to buy {currency} | how strong is the {currency}
!show the rate of the {currency}
# transport
= road conditions ; road traffic ; congestion
how is the traffic (to/on the way to) {place} | is there (a traffic jam/much traffic) near {place}
are the roads (busy/clear/jammed) right now | !check the traffic (for my drive/on the highway)
will i get stuck in traffic {day} | is the (bridge/highway) backed up | how bad is rush hour today
any accidents on the road to {city}
= finding the way ; route ; way
how do i get to {place} | !(give/show) me (directions/the way) to {place}
what is the (fastest/shortest/best) (way/route) to {city}
which (road/exit) do i take for {place} | !navigate to {place} | where do i turn to reach {place}
!guide me to the nearest {shop} | can i walk from here to {place}
= how far away ; how far ; travel time
how far is (it to/) {place} | how (long/many minutes) does it take to (drive/walk/get) to {place}
what is the distance (to/between here and) {city} | how many miles is it to {city}
is {city} far from {city} | when will i get to {place} if i leave now
how much time to {place} by bus | !tell me how far away {place} is
= call taxi ; taxi ; ride
!(call/get/order) (me/us) a (taxi/cab/ride) | i need a (cab/taxi/car) to {place}
!find a driver to take me to {place} | !book a cab for {time} | can someone pick me up at {place}
how much is a taxi to {place} | !send a car to {place} | get me a ride home
= train times ; train ; timetable
when does the (next/last/first) (train/bus) to {city} (leave/go)
what time is the (train/bus) to {city} | !show the (train/bus) timetable
is there a (train/tram) to {place} after {time} | from which platform does the {city} train leave
how often do buses run to {place} | !find a train from {city} to {city}
which bus goes to {place}
= fuel ; gas level ; petrol
how much (gas/fuel/petrol) is (left/in the tank) | do i need to (refuel/fill up) soon
where is the (next/nearest) (gas/petrol) station | what kind of (gas/fuel) does my car take
is the tank full | am i low on (gas/fuel) | !check the fuel (level/gauge)
can i reach {city} on this tank
= car repair ; mechanic ; maintenance
my car (makes a strange noise/will not start/broke down) | when is my next oil change
!schedule (an oil change/a repair/a service) for my car | the (engine/brake) light is on
how do i (change a tire/jump start a car) | do my tires need (air/changing)
!find a mechanic near {place} | why does my engine smoke
= rent car ; car rental ; hire
!(rent/hire) a (car/van/suv) in {city} | i need a rental car (from/until) {day}
how much does it cost to (rent/hire) a car | !find a car rental (near/at) {place}
can i pick up a hire car at the airport | what do i need to rent a van
!book a small car for {smallnumber} days | are there rental cars left in {city}
= parking ; park car ; car park
where can i park (near/at) {place} | !find a parking (spot/space) near {place}
is there a (car park/garage) at {place} | how much is parking at {place} | where did i park my car
is parking free {day} | can i leave my car here overnight | are there parking meters at {place}
# weather
= weather ; forecast ; weather report
what is the weather (like/going to be) (in {city}/today/{day})
will it (rain/snow/be sunny/be windy) (in {city}/{day})
do i need (an umbrella/a coat/sunscreen) {day} | how (cold/hot/warm) is it (in {city}/outside)
!(give/tell) me the forecast for {city} | is a storm coming (to {city}/{day})
what is the temperature in {city} | any chance of (showers/snow/hail) {day}
= sunrise ; sun times ; daylight
when does the sun (rise/set/go down/come up) | what time is (sunrise/sunset) (in {city}/{day})
how long is the day {day} | when will it get dark | at what time does it get light
is the sun up already in {city} | !tell me when the sun goes down
how many hours of daylight are left
# clock
= set alarm ; alarm ; wake me
!(set/make) an alarm (for/at) {time} | !wake me (up/) at {time}
i need to (get/wake) up at {time} {day} | !have the alarm ring at {time} | get me up at {time}
!create an alarm for {day} at {time} | make sure i am awake by {time}
i have to be up early, {time}
= timer ; countdown ; set timer
!(set/start) a timer for {smallnumber} minutes | !count down {smallnumber} minutes
!tell me when {smallnumber} minutes are over | !put {smallnumber} minutes on the clock
how much time is left on the timer | !stop the timer | start counting {smallnumber} minutes now
let me know in {smallnumber} minutes
= reminder ; remind me ; remember
!remind me to (call {person}/buy {food}/pay the rent/feed the dog)
!set a reminder (for {day}/to call {person}) | do not let me forget to (buy {food}/lock the door)
i must remember to {chore} | what are my reminders for {day} | !add a reminder about the {item}
!make a note to {chore} | what did i want to be reminded of
= time ; clock ; what time
what time is it (in {city}/now/) | !(tell/give) me the time
what is the (current/local) time in {country} | do you (know/have) the time
how late is it in {city} | is it past {time} already | what does the clock say
which time zone is {city} in
= date ; today ; what day
what (day/date) is (it/today/tomorrow) | which day of the week is it {day}
!tell me (the date/today's date) | what month are we in | how many days until {month}
is it {weekday} today | what is the date of next {weekday} | on which day does {month} begin
= calendar ; schedule ; appointments
what is on my (calendar/schedule/agenda) {day}
do i have (a meeting/anything/an appointment) {day} | am i (free/busy) {day} at {time}
!add (lunch with {person}/a dentist visit) to my calendar | !cancel my (event/appointment) {day}
when is my next appointment | !move my (meeting/appointment) to {day}
!put the party on my schedule for {day}
# music
= music on ; song ; listen
!play (some/) (jazz/rock/pop/classical music/blues) | !play {song} by {person}
i want to (hear/listen to) {song} | !put on (some music/{song}/an album by {person})
!start my (workout/party/sleep) (mix/music) | let me hear something by {person}
!shuffle songs by {person} | !turn on the (radio/music)
= put on playlist ; playlist ; save song
!add {song} to my (workout/party/road trip/) playlist
!put (this song/{song}) (on/in) my (favourites/summer hits) | !include {person} in my playlist
!save this tune to my (list/playlist) | this song belongs on my {day} playlist
i want {song} on my party list | !insert {song} into my collection
!add another track by {person} to my list
= next song ; skip ; forward
!skip (this/this song/it) | !(play/go to) the next (song/track) | i do not like this song, next
!change the song | !jump to the next track | another song | move on to the following tune
not this one, skip ahead
= volume ; loudness ; sound level
!(turn/make) it (up/louder/down/quieter) | !(raise/lower/increase) the volume
the music is too (loud/quiet/soft) | !set the volume to {smallnumber}
!mute the (sound/speaker/tv) | i can not hear it, louder | !turn the sound (down/up/off)
!change the speaker volume
= what song ; identify song ; song name
what (song/tune/track) is (this/playing) | who (sings/is singing) this
what is the name of this (song/band) | !identify this (song/music) | do you know this melody
which album is this from | what am i listening to | who is the artist of this song
# shopping
= order status ; package ; delivery
where is my (package/order/parcel) | when will my (order/{item}) (arrive/be delivered/come)
!track my (package/order/delivery) | has my (order/{item}) shipped (yet/) | my parcel has not come
is the {item} i ordered on its way | what is the status of order {number}
how long until my {item} gets here
= shopping list ; grocery list ; things to buy
!(add/put) {food} (to/on) my (shopping/grocery) list | what is on my (shopping/grocery) list
!(remove/take) {food} (from/off) the (shopping/grocery) list
do i have {food} on my list of things to buy | !clear my shopping list
we need {food}, put it on the list | i am out of {food}, write it down to buy
!read me the grocery list
= return item ; refund ; send back
i want (to return/my money back for) the {item} | !(send/return) this {item}
how do i (return/exchange) a {item} | the {item} is broken, i want a refund
when do i get my refund | can i bring back the {item} without a receipt
this {item} does not fit, take it back | what is your return policy
= order item ; buy ; purchase
!(order/buy) (a/another/a new) {item} | i would like to buy a {item} | !get me a {item} online
!purchase {smallnumber} packs of {food} | can i order a {item} here | !put a {item} in my cart
i need a new {item}, order one | do you sell (a {item}/{food})
= price ; cost ; how expensive
how much (is/does) (the/a) {item} (cost/) | what is the price of (a/the) {item}
how expensive is (a/the) {item} | !compare prices for a {item} | is the {item} on sale
what do you charge for {food} | !tell me what the {item} costs | is there a discount on {food}
= opening hours ; store hours ; is it open
when does the {shop} (open/close) | is the {shop} open (now/{day}/at {time})
until what time is the {shop} open | what are the (opening/business) hours of the {shop}
does the {shop} close early {day} | can i go to the {shop} at {time}
how late can i shop at the {shop} | is the {shop} closed on {weekday}
# banking
= money in account ; account balance ; money left
how much money (is/do i have) in my (account/savings/checking account)
what is my (bank/account/savings) balance | !(show/check/tell me) my balance
do i have enough money for a {item} | how much have i got left | what is in my checking account
is there {amount} in my account | my balance please
= money transfer ; send money ; move money
!(transfer/move/send) {amount} (to {person}/from savings to checking/to my savings)
i need to send {amount} to {person} | how do i (wire/transfer) money | !pay {person} {amount}
can i transfer money abroad | !put {amount} into my savings account
my transfer to {person} has not arrived | how long does a transfer take
= settle a bill ; bill ; payment
!pay my (electric/phone/water/gas) bill | i want to (pay/settle) the (rent/electricity) bill
when is my (phone/water) bill due | how much do i owe for (gas/electricity)
!take care of the cable bill | have i paid the (rent/power bill) yet
what is the smallest amount i must pay on my bill | set up automatic payment of my bills
= purchases made ; spending ; recent purchases
what did i (spend/buy) {day} | how much did i spend on (food/clothes/travel) last month
!show my (recent/last) (transactions/purchases/payments) | !list what i bought with my card
where did my money go | what was my last purchase | !give me my spending on {food}
i see a payment i do not recognize
= interest ; savings rate
what is the interest (rate/) on my (savings/loan/account)
how much interest (do i earn/will i get) | is the rate fixed | what rate does the bank pay
how high is the interest on a mortgage | when is interest paid
which account has the best interest rate | did my interest rate go up
= stop account ; block account ; lock
!(freeze/block/lock) my (account/bank account) (now/)
i think someone got into my account, block it | stop all (payments/transfers) from my account
why is my account (blocked/frozen/locked) | !put a hold on my account
somebody hacked my bank account | no one should use my account, freeze it | my account got locked
= open account ; new account ; become customer
!open a (savings/checking/new/bank) account | how do i (open/get/start) an account (with you/)
what do i need for a new account | can a child have an account
i want to become a customer of your bank | !sign me up for an account | can i have two accounts
do you offer accounts for students
= find atm ; cash machine ; withdraw cash
where is the (nearest/closest) (atm/cash machine) | where can i (get/withdraw) cash
is there an atm (near/at) {place} | !find a cash machine | the machine did not give me my money
how much cash can i take out a day | which atms are free for me | the atm swallowed my card
# cards
= lost card ; stolen card ; missing card
i lost my (card/credit card/bank card) | my (card/wallet) was stolen
!report (a lost/a stolen/my missing) card | i can not find my (credit card/debit card)
someone took my card at {place} | i left my card (in/at) {place}
what do i do about a stolen card | !cancel my lost card
= card refused ; payment refused ; rejected
my card was (declined/refused/rejected) (at {place}/) | why did my (card/payment) not go through
the shop would not take my card | why can i not pay with my card
my payment at the {shop} got declined | the terminal says card refused
i tried to buy a {item} and it was declined | what is wrong with my card payment
= get a card ; apply for card ; card application
how do i (get/apply for) a (new/credit/second) card | !(send/order/give) me a (new/credit) card
i want (a credit card/another card) | can i have a card for my {relative}
when will my new card (come/arrive) | !apply for a card | what cards do you offer
i am waiting for my card to arrive
= card limit ; maximum credit ; spending limit
what is my (credit/card/spending) limit | !(raise/increase/change) my (credit/card) limit
how much can i (spend/charge) on my card | can my limit go up to {amount}
i want a higher credit limit | did i reach my card limit | how do i get more credit
is there a daily limit on my card
= pin ; set a pin ; pin code
!(change/reset) my pin (code/number/) | i forgot my pin | what is my pin | my pin is blocked
how do i (choose/unblock) a pin | the machine does not accept my pin | where do i find my pin code
i typed the wrong pin three times
= activate card ; start card ; switch on card
!activate my (new/) card | how do i (activate/start using) my (card/new card)
my card does not work yet, activate it | is my card active | the card came, what now
!turn on my new card | where can i activate the card | need help switching on my card
= extra fee ; charge ; fees
why was i charged (a fee/extra/{amount}) | what is this fee on my (statement/card)
is there a fee for (transfers/cash/foreign payments)
how much does it cost to pay abroad with my card | i was charged twice for a {item}
do you take a fee for exchanging money | there is an extra charge of {amount}
why is there a {amount} fee
= creditworthiness ; credit rating ; score
what is my credit (score/rating) | is my credit (good/bad)
how do i (improve/raise) my credit (score/rating) | !check my credit score
why did my credit rating (fall/drop) | !show me my rating | how high is my score
does a late payment hurt my credit
# work
= days off ; vacation ; leave
!request (time/days) off (in {month}/{day}) | i want to take (a vacation/leave) in {month}
how many (vacation/holiday) days do i have left | was my leave (approved/granted)
!put in for a holiday in {month} | can i have {weekday} off | how many days off did i use
!ask my boss for time off
= meeting ; plan a meeting ; book room
!(schedule/set up/arrange) a meeting with {person} | is there a free meeting room at {time}
!book the meeting room for {time} | when can i meet {person} | when is the meeting with {person}
!invite {person} to a meeting {day} | who comes to my {time} meeting | let us meet {person} {day}
= salary ; pay day ; earnings
when (is payday/do i get paid/does my pay come) | how much (do i earn/is my salary)
when was i last paid | what is my (yearly/monthly) (income/pay) | i want a raise
did my paycheck come | how much will i make this month | what did my last payslip say
= tax question ; tax ; tax form
how much (tax/taxes) do i (owe/pay) | where is my tax form | when are taxes due
will i get a tax refund | !find my tax papers | what is taken off my pay for taxes
how do i file my taxes | is {food} taxed
= insured ; cover ; health plan
what does my (insurance/health plan) (cover/pay) | am i insured (in {country}/for this)
how do i (change/get) (health/car) insurance | who is my insurer
does my plan pay for (glasses/a dentist) | !show my insurance benefits | i need a new insurance
is a broken leg covered
= to do list ; tasks ; chores
!(add/put) {chore} (to/on) my (to do/task) list | what is (left/next) on my to do list
what (tasks/chores) do i have {day} | did i finish my tasks | !remove {chore} from my tasks
!clear my to do list | is {chore} on my list of tasks | what do i still have to do
= send email ; mail ; message
!(send/write) (an email/a message/a mail) to {person} | !tell {person} that i am late
!text {person} that dinner is at {time} | !reply to the mail from {person}
do i have new (mail/messages) | !read my (emails/messages) | !forward this mail to {person}
did {person} write to me
= call person ; phone call ; dial
!(call/phone/ring/dial) {person} | !make a (call/phone call) to {person}
i want to (talk/speak) to {person} on the phone | !call my {relative} | !dial {number}
get {person} on the line | !call {person} back | who called me
# kitchen
= cooking steps ; how to cook ; cooking instructions
how do i (make/cook/bake) {dish} | !(find/give) me a recipe for {dish}
what do i need (to make/for) {dish} | what can i cook with {food}
i am looking for a (vegan/quick/simple) {dish} recipe | which ingredients go into {dish}
!show me how {dish} is made | what are the steps for {dish}
= minutes to cook ; how long to cook ; baking time
how long (do i/should i) (cook/boil/bake/fry) {food} | how many minutes does {dish} take
when is the {dish} done | what is the cooking time for {food}
how long does {food} stay in the oven | do i bake {dish} for {smallnumber} minutes
how long until my {dish} is ready | at what temperature do i bake {dish}
= food energy ; nutrition ; healthy food
how many calories (are in/does) {food} (have/) | is {food} (healthy/good for me/fattening)
how much (sugar/fat/protein) is in {food} | what vitamins are in {food}
what are the nutrition facts of {dish} | can i eat {dish} on a diet | is there much salt in {dish}
does {dish} have many calories
= substitute ; replace ingredient ; instead
what can i use instead of {food} | can i (replace/swap) {food} (with/for) {food}
is there a substitute for {food} | i have no {food}, what else works
does {food} work in place of {food} | what replaces {food} in {dish} | can i leave out the {food}
i ran out of {food} for my {dish}, use what
= food safe ; expired ; still good
is {food} from {day} still (good/safe) | how long does {food} (keep/last) (in the fridge/)
can i still eat this {food} | when does {food} go bad | my {food} smells funny, throw it out
has the {food} expired | how do i know if {food} is spoiled | should {food} be kept cold
= restaurant ; book table ; reserve
!(book/reserve/get) a table (for {smallnumber}/at {time}/at a {cuisine} place)
we want to eat (out/{cuisine} food) {day} | !find a (good/cheap/quiet) {cuisine} restaurant
!make a reservation for {smallnumber} people at {time} | is there a free table {day}
where can i eat good {dish} | !cancel my table for {day} | can you suggest a restaurant in {city}
= order food ; delivery food ; takeout
!order (a/some) (pizza/{dish}/sushi) | i want {dish} (delivered/brought to my house)
!get {dish} from the {cuisine} place | can you deliver {dish} to {place}
how long will my food take to get here | i would like {smallnumber} {dish} to go | !get me takeout
what is on the menu at the {cuisine} place
# home
= lights ; lamp ; lighting
!(turn/switch) (on/off) the (lights/lamp) (in the {room}/)
!(dim/brighten) the lights (in the {room}/) | !make the light (blue/red/warmer)
it is too dark in the {room} | are the lights on in the {room} | !light up the {room}
no more light in the {room} | who left the lamp on
= heating ; thermostat ; room temperature
!(set/turn) the (heating/thermostat) to {smallnumber} degrees
it is too (cold/hot/warm) in the {room} | !(turn/switch) (on/off) the (heater/air conditioning)
!make it (warmer/cooler) in here | how warm is the {room} | i am freezing, heat the {room}
!raise the temperature in the {room} | what is the thermostat at
= vacuum ; clean floor ; cleaning robot
!(start/run/stop) the vacuum (cleaner/) | !(clean/vacuum) the {room}
!send the robot to the {room} | the floor in the {room} is dirty | is the vacuum charged
!let the cleaner do the {room} at {time} | there are crumbs on the carpet
the {room} needs hoovering
= lock door ; security ; doors
!(lock/unlock) the (front/back) door | is the (front/back/garage) door (locked/closed)
!turn on the house alarm system | did i lock the house | !open the garage | who is at the door
!show the camera at the door | is anyone in the {room}
# device
= battery ; charge ; power left
how much battery (is left/do i have) | my (phone/tablet/laptop) will not charge
is my phone charged | what is my battery at | !turn on power saving | my battery dies so fast
do i have to charge my phone soon | how long will the battery last
= wifi ; internet ; connection
my (wifi/internet) is (down/slow/not working) | !connect to the wifi | what is the wifi password
i can not get online | why is my connection so slow | !turn (on/off) the wifi
the router keeps blinking and nothing loads | is there free wifi at {place}
= password ; login ; reset password
i forgot my password | !(reset/change) my password | i can not (log in/sign in)
my login does not work | how do i choose a new password | it says wrong password
i am locked out of my profile | where do i change my user name
= other language ; language setting ; speak
!(change/switch/set) (your/the) language to {language} | !speak {language}
can you talk in {language} | i want you to use {language} | do you speak {language}
!set the menu to {language} | from now on answer in {language} | which languages can you use
= change voice ; accent ; voice setting
!change your (voice/accent) | !use a (male/female/british/different) voice
i do not like your voice | can you sound like a (man/woman/robot) | !speak (slower/faster)
talk with another accent | your voice is too high | i want a deeper voice
= find phone ; lost phone ; ring phone
where is my phone | i (lost/can not find/misplaced) my phone | !(find/ring/locate) my phone
help me find my phone | !make my phone ring | did i leave my phone at {place}
my phone is gone, where could it be | my cell is hiding somewhere
# small talk
= saying hello ; hello ; salutation
hello (there/) | hi (there/how is it going/) | good (morning/evening/afternoon) | hey (you/buddy/)
greetings (friend/) | nice to see you again | hi, i am back | hello my friend
= parting ; bye ; farewell
goodbye (for now/) | bye (bye/for now/) | see you (later/soon/{day}) | talk to you later
i have to go now | good night | have a nice day | that is all, so long
= thanks ; saying thanks ; gratitude
thank you (so much/very much/) | thanks (a lot/for your help/)
i (appreciate/am grateful for) (it/your help) | you have been (very/so) helpful, thanks
many thanks | that is kind of you, thank you | cheers for that | much obliged
= joke ; funny ; make me laugh
!tell me (a joke/something funny/a joke about {animal}s) | do you know any (good/) jokes
make me laugh | i need a good laugh | say something funny | got any jokes about {profession}s
cheer me up with a joke | i would like to hear a joke
= your name ; who are you ; name of assistant
what is your name | what (do/should) i call you | who are you | do you have a name
how are you called | by what name do you go | may i know your name | !tell me your name
= age of assistant ; your age ; birthday
how old are you | what is your age | when (were you born/is your birthday)
in which year were you made | are you older than me | how many years have you been around
what day is your birthday | are you young or old
= are you human ; robot ; bot
are you (human/a robot/real/a real person/a computer) | am i talking to a (person/machine/bot)
do you have a body | are you some kind of program | are you alive | is this a human or a machine
you sound like a robot, are you one | do you breathe
= home of assistant ; origin
where (are you/do you come) from | where (were you born/do you live) | what country are you from
what is your home town | in which place were you made | where is your home
what city do you call home | are you from {country}
= purpose of life ; philosophy ; purpose
what is the meaning of life | why are we here | what is the point of (life/it all)
why do we exist | what is our purpose on earth | is there a reason for everything
what is life about | does life have a sense
= flip coin ; heads or tails ; coin
!(flip/toss) a coin | heads or tails | let a coin decide | i call heads, toss it
!throw a coin for me | i need a coin toss | flip it, i pick tails | do a coin flip
= roll dice ; dice ; random number
!roll (a die/the dice/two dice) | !give me a random number (up to {smallnumber}/)
!pick a number between {smallnumber} and {number} | throw the dice | i need a dice roll
what do the dice say | !roll a {smallnumber} sided die | choose any number for me
= agreement ; agree ; confirm
yes (please/of course/) | (sure/ok/okay), (do it/go ahead/) | that is (right/correct/true)
i agree (with you/) | exactly (right/) | absolutely | you got it right | yeah, that sounds good
= refusal ; disagree ; deny
no (thanks/way/not at all/) | that is (wrong/false/not right) | i (disagree/do not think so)
nope | certainly not | do not do that | never | not really, no
= uncertain ; not sure ; undecided
(maybe/perhaps) (later/so/) | i am not sure | i do not know (yet/) | it depends | hard to say
could be | i can not decide | either is possible
= once more ; say again ; pardon
(say/repeat) (that/it) (again/once more/) | !repeat (that/what you said)
what did you (just/) say | i did not (hear/catch) that | pardon me, what | come again
one more time | sorry, i missed that
= call it off ; stop ; never mind
!(cancel/stop/forget) (that/it/the last command) | never mind | stop (right there/now/)
i changed my mind, do not do it | !abort | drop it | undo what i asked | no need for that any more
= what can you do ; help ; abilities
what can you (do/help me with) | what can i ask (you/) | how can you help me
what are you able to do | what (questions/commands) do you understand | !list your skills
what are you good at | help, what are my options
= name of user ; my name ; call me
what is my name | do you know (my name/who i am) | !call me {person} | my name is {person}
who am i | !change my name to {person} | from now on i am {person} | what do you call me
# health
= symptom ; illness ; feel sick
i have a (headache/cold/fever/sore throat) | my {bodypart} (hurts/is swollen/itches)
i feel (sick/dizzy/weak) | what helps against a (cough/headache) | why does my {bodypart} hurt
i think i have the flu | what are the signs of a cold | i have been coughing since {day}
= doctor appointment ; see doctor ; clinic
!(make/book) an appointment with (the/a) (doctor/dentist)
i need to see a (doctor/dentist/specialist) {day} | when can the doctor see me
!move my doctor's appointment to {day} | is the clinic open {day} | can the dentist see my son
which doctor is free at {time} | i want a check up
= medicine ; pills ; prescription
when do i take my (pills/medicine/tablets) | how many (pills/tablets) may i take
!refill my prescription | can i take this (pill/medicine) with {food}
what are the side effects of my medicine | i am out of pills
where can i get my prescription filled | did i take my medicine today
= exercise ; workout ; fitness
!(start/plan) a workout | how many steps did i (walk/take) {day} | how can i get (fit/stronger)
which exercise is good for my {bodypart} | !log a run of {smallnumber} miles
how many calories did i burn | !count my push ups | i want to train my {bodypart}
# media
= find book ; book search ; novel
!find (me/) (a/the) (book/novel) (by {person}/about {animal}s/called {title})
who wrote (the book/) {title} | i want to read {title} | what books has {person} written
!show the saga {title} | is {title} a good book | !look up the novel {title}
do you have {title} as an audio book
= book stars ; rating ; give stars
!rate (this book/{title}/the novel) {smallnumber} (stars/points/out of six)
!give (this book/{title}/the essay) {smallnumber} stars | i give {title} {smallnumber} points
{title} (gets/deserves) {smallnumber} stars (from me/)
!mark {title} with {smallnumber} out of five | my rating for {title} is {smallnumber}
that novel was a {smallnumber} of five | put {smallnumber} stars on {title}
= movie times ; showtimes ; cinema
(when/where) is {title} (playing/showing)
what (movies/films) are (on/playing) (at the cinema/{day}) | !find (film/movie) times for {title}
what time does {title} start at the cinema | is {title} on at the {city} cinema
!show movie schedules {day} | which cinema shows {title}
are there any cartoons at the movie house {day}
= movie info ; film search ; find show
who (plays/stars/acts) in {title} | !find the (movie/show/trailer/series) {title}
who directed the film {title} | what is the movie {title} about
when did the film {title} come out | !show me the trailer of {title}
!look for the tv series {title} | i want to see a picture called {title}
= news ; headlines ; current events
what is (new/in the news) (today/in {country}/) | !(tell/read) me the (news/headlines)
what happened in {city} {day} | any news about {country} | !give me the latest on the election
what are today's headlines | !open the news of {day} | how did the vote in {country} end
= sports result ; score of game ; match
who won the (game/match) (between {city} and {city}/) | what was the score of the {city} game
when does {city} play next | did {city} win (yesterday/the cup/)
how is {city} doing in the league | what is the score | who leads the league
who is {city} playing {day}
= definition ; meaning of word ; dictionary
what does {word} mean | !define (the word/) {word} | what is the (definition/meaning) of {word}
!look up {word} | what is meant by {word} | !explain the word {word}
give me the meaning of {word} | i do not know the word {word}
= spelling ; spell ; how to write
how do you (spell/write) {word} | !spell {word} (for me/)
what is the (right/correct) spelling of {word} | is {word} written with two letters {letter}
!give me the letters of {word} | how many letters {letter} are in {word}
does {word} start with {letter} | am i spelling {word} right
= calculate ; math ; sum
what is {smallnumber} (plus/times/minus) {number} | how much is {number} divided by {smallnumber}
!calculate {number} (plus/minus/times) {smallnumber} | !add {number} and {smallnumber}
what is the square root of {number} | !do the math, {number} times {smallnumber}
what percent of {number} is {smallnumber} | solve {smallnumber} x = {number}
"""


@dataclass(frozen=True)
class Intent:
    """A thing that people ask for, with labels for it and ways to say it."""

    domain: str
    labels: tuple[str, ...]
    ways: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its plain label."""
        return self.labels[0]


def _read(text: str) -> tuple[Intent, ...]:
    found: list[Intent] = []
    domain = ""
    for line in text.strip().splitlines():
        if line.startswith("#"):
            domain = line[1:].strip()
        elif line.startswith("="):
            found.append(Intent(domain, tuple(x.strip() for x in line[1:].split(";")), ()))
        else:
            ways = tuple(way.strip() for way in line.split("|") if way.strip())
            last = found.pop()
            found.append(Intent(last.domain, last.labels, last.ways + ways))
    return tuple(found)


INTENTS: tuple[Intent, ...] = _read(_TEXT)
