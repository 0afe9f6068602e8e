"""Small lists of stop words: what a search leaves out, and how the language of a text is guessed.

Only languages that have a Snowball stemmer and the Latin script are guessed; other scripts tell their stemmer
by themselves. Lists are short on purpose: a frequent word that is missing here only costs a little time, its
weight is low.
"""

from __future__ import annotations

from typing import Final

ENGLISH: Final = "english"

_ENGLISH = """
a about all also am an and any anyone anything are as at be because been before being but by can could did do
does doing done for from get gets getting go goes going got had has have having he her hers him his how i if
in into is it its just know let like many me might mine more most much must my no not of off on one or other
our ours out over she should so some than that the their theirs them then there these they thing things this
those to too up us very was we were what when where which while who whom whose why will with would you your
yours i'm i've i'd i'll you're you've you'd you'll we're we've we'd we'll they're they've they'd they'll it's
that's what's who's where's how's there's here's he's she's let's don't doesn't didn't isn't aren't wasn't
weren't can't couldn't won't wouldn't shouldn't hasn't haven't hadn't ain't
"""

_OTHERS = {
    "french": """
        le la les un une des du de et est à au aux en dans que qui ne pas plus ce cette ces son sa ses mon ma
        mes ton ta tes notre nos votre vos leur leurs je tu il elle nous vous ils elles on se sur pour par
        avec sans sous mais ou où donc quand comment pourquoi quel quelle quels quelles suis es sommes êtes
        sont était étaient ai as a avons avez ont avait être avoir fait faire y lui même si très aussi j'ai
        c'est d'un d'une qu'il qu'elle n'est""",
    "german": """
        der die das den dem des ein eine einen einem einer eines und ist sind war waren bin bist sein hat
        haben habe hatte nicht auch auf aus bei mit nach von vor zu zum zur für über unter durch um an am im
        in als wie was wer wo wann warum welche welcher welches ich du er sie es wir ihr mich mir dich dir uns
        euch ihm ihn ihnen mein meine meinen meinem meiner dein deine unser unsere euer ihre ihren ihrem seine
        seinen seinem aber oder dass daß wenn weil noch nur schon sehr so kann können wird werden wurde kein
        keine keinen man""",
    "spanish": """
        el la los las un una unos unas de del al y e o u que qué en es son era eran fue ser soy eres somos
        está están estoy estaba estar con sin por para como cómo cuando cuándo donde dónde quien quién cual
        cuál porque pero más muy ya no sí si se me te le les lo nos os mi mis tu tus su sus nuestro nuestra yo
        tú él ella usted nosotros ellos ellas ustedes he has ha hemos han había hay este esta estos estas ese
        esa eso esto también sobre entre hasta desde""",
    "italian": """
        il lo la i gli le un uno una di del della dello dei degli delle a al allo alla ai agli alle da dal
        dalla in nel nella nei con su sul sulla per tra fra e ed o che chi cui è sono era erano sei siamo
        essere ho hai ha abbiamo hanno aveva non più come quando dove perché quale quali cosa mi ti si ci vi
        io tu lui lei noi voi loro mio mia miei mie tuo tua suo sua nostro nostra questo questa questi quello
        quella anche ma se molto già""",
    "portuguese": """
        o a os as um uma uns umas de do da dos das em no na nos nas ao aos à às e ou que é são era eram foi
        ser sou estou está estão estava com sem por pelo pela para como quando onde quem qual quais porque mas
        mais muito já não sim se me te lhe eu tu ele ela você vocês nós eles elas meu minha meus minhas seu
        sua seus suas nosso nossa este esta isso isto esse essa também até tem tenho tinha há""",
    "dutch": """
        de het een en van in is zijn was waren ben bent heeft heb hebben had niet ook op aan bij met naar voor
        te om uit door over onder als dat die dit deze wat wie waar wanneer waarom hoe welke ik jij je hij zij
        ze wij we jullie u mij me jou hem haar ons hun mijn jouw onze maar of want nog al zeer kan kunnen
        wordt worden werd geen er zo dan naar toen""",
    "swedish": """
        och att det som en ett är var på för med av till den de inte om han hon jag du vi ni mig dig honom
        henne oss er min mitt mina din ditt dina sin sitt sina hans hennes vår vårt våra har hade ha kan ska
        skulle från men eller när hur vad vem varför vilken vilket också så mycket här där då nu blev bli""",
    "danish": """
        og at det som en et er var på for med af til den de ikke om han hun jeg du vi mig dig ham hende os jer
        min mit mine din dit dine sin sit sine hans hendes vores har havde have kan skal skulle fra men eller
        når hvordan hvad hvem hvorfor hvilken hvornår også så meget her der da nu blev blive""",
    "norwegian": """
        og at det som en et er var på for med av til den de ikke om han hun jeg du vi meg deg ham henne oss
        dere min mitt mine din ditt dine sin sitt sine hans hennes vår vårt våre har hadde ha kan skal skulle
        fra men eller når hvordan hva hvem hvorfor hvilken også så mye her der da nå ble bli""",
    "finnish": """
        ja on ei se että oli en ole mutta kun myös hän minä sinä me te he minun sinun hänen meidän teidän
        heidän minulla sinulla hänellä tämä tuo nämä joka mikä mitä kuka missä milloin miksi miten olen olet
        olemme ovat olin olivat niin kuin vain jos tai sitä siitä mukaan""",
    "hungarian": """
        a az és hogy nem is egy van volt meg de ha mint csak már még ez azt ezt én te ő mi ti ők engem téged
        nekem neked neki vagyok vagy vannak voltam voltak mit ki hol mikor miért hogyan melyik minden nagyon
        így úgy akkor most ott itt lesz lett kell""",
    "romanian": """
        și de la în cu pe un o nu este sunt era erau fi fost am ai a are au avea că care ce cine unde când cum
        pentru din prin după mai foarte dar sau dacă eu tu el ea noi voi ei ele mă te îl îi ne vă meu mea mei
        mele tău ta său sa acest această acesta acea lui lor să""",
    "turkish": """
        ve bir bu şu o da de mi mı mu mü ne için ile çok ama gibi daha en ben sen biz siz onlar bana sana ona
        bize size onlara benim senin onun bizim sizin onların var yok değil nasıl neden niçin nerede kim hangi
        her şey kadar sonra önce ki ya veya olarak olan oldu idi""",
}

STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    ENGLISH: frozenset(_ENGLISH.split()),
    **{name: frozenset(text.split()) for name, text in _OTHERS.items()},
}

# Short or borrowed words that English texts hold as well, names and exclamations among them.
_NOT_TELLING = """
    ai al am an as at de des die du el er es est eu ha had hat has he her hun i ja la las le lo los man me mi
    min mine mon my na ne no nos nu o och of on os per se sei sin so son su te ti toe ton tu tuo u un uno vi
    was we were y ya you a e in is it are will van bent had hem over ben en if her here over skull this to om
    mu da um us war
    """
_AMBIGUOUS = frozenset(_NOT_TELLING.split())

FOREIGN_MARKS: Final[dict[str, tuple[str, ...]]] = {
    word: tuple(name for name in _OTHERS if word in STOP_WORDS[name])
    for word in sorted(set(" ".join(_OTHERS.values()).split()))
    if word not in STOP_WORDS[ENGLISH] and word not in _AMBIGUOUS
}
"""Stop words that no English text is likely to hold, with the languages that have them."""
