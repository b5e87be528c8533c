"""Whether a text is in English, from its alphabet and the small words of twenty-odd languages.

Short texts, lists of genes, drugs or results, numbers, Latin and Greek terms say too little, and count as English: what
has to be shown is that a text is in another language. A text in a language of the Latin alphabet that is not listed
here passes too.
"""

import re
import unicodedata
from collections import Counter
from functools import cache

WORDS = 3  # different small words of one other language that a text must have
SHARE = 0.12  # of its words that they must be
FOREIGN = 0.3  # share of words in another alphabet from which a text is in it

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_ENGLISH = (
    "a about above after again against all also although am an and any are as at be because been before being below "
    "between both but by can cannot could did do does doing done down due during each either every few for from "
    "further had has have having he her here hers him his how however i if in into is it its itself just least less "
    "many may me might more most much must my neither no nor not now of off on once one only or other our out over "
    "own per same she should since so some such than that the their them then there these they this those though "
    "through to too under until up upon us very was we were what when where whether which while who whom whose why "
    "will with within without would yes yet you your "
)
# Without words that stand in French names of syndromes and signs (de la, du, au).
_OTHERS = {
    "Spanish": "de la que el y los las del se una por con para su al lo como pero sus ha este esta entre "
    "cuando muy sin sobre tiene también hasta hay donde está están fue qué cuál ser es en un "
    "le paciente",
    "French": "les et des une est dans que qui pour ne sur pas plus avec par ce cette sont il "
    "elle au aux ou mais nous vous leur été être ont sans son sa ses chez quel quelle un le "
    "en",
    "German": "der das und ist nicht ein eine einer eines einem einen zu den dem des für auf mit sich "
    "von auch wird bei oder nach wie über aus dass sie wurde werden sind hat haben kann ich "
    "durch zur zum vom beim im",
    "Italian": "di che il lo gli una del della delle dei degli nel nella con per sono è non si da più "
    "come anche questo questa quale quali alla al ha un la le ed ma o dal dalla",
    "Portuguese": "de que o os as um uma do da dos das em no na nos nas para com por não se mais como mas "
    "foi ao ele ela são é seu sua ou quando muito está também qual quais pelo pela",
    "Dutch": "de het een en van dat niet zijn op aan voor met die er maar om ook bij door naar heeft "
    "hebben wordt worden deze dit welke wat wij zij je uit over te",
    "Swedish": "och att det som en ett på är av för med den till inte har de om var jag han hon eller "
    "vid från kan ska sig efter vilka vilken under",
    "Danish or Norwegian": "og at det som en et på er av af for med den til ikke har de om jeg han hun eller ved fra "
    "kan skal seg sig etter efter hvilke hva hvad ble blev",
    "Polish": "i w z na się nie że do jest to jak po dla od przez są przy oraz był była tego które "
    "który lub jego jej czy co u ze",
    "Czech or Slovak": "má ho protože a v na se je že s z do o po pro nebo jsou byl byla ale jak by které který při je "
    "sa sú pre alebo ktoré ktorý či k od ve ze",
    "Croatian or Serbian": "i u na se je da su za od s sa ili koji koje kao ne po što bolesnik iz nije bez kod te "
    "bio bila do",
    "Romanian": "și de la în cu pe un o este nu din care sunt pentru mai sau prin ce după fost fi al ale "
    "lui ei către se fără",
    "Hungarian": "a az és hogy nem egy is van volt meg de ha mint csak vagy milyen mely amely el ki lehet "
    "kell ez azt után",
    "Finnish": "ja on ei että se oli hän joka mutta tai ovat kuin myös sekä jos niin mikä mitä kun ole olla voi",
    "Turkish": "ve bir bu da de için ile olarak olan çok daha gibi ne mi var değil kadar sonra veya hangi nedir olduğu",
    "Indonesian or Malay": "yang dan di dengan untuk dari pada ini itu adalah tidak dalam akan oleh atau juga ke "
    "bagi sebagai telah dapat apa pasien",
    "Vietnamese": "và là của có không các được cho trong một những với bệnh người này khi đã để thì nào từ hoặc bị",
    "Swahili": "na ya wa kwa ni za katika la kama hii ambayo au cha mgonjwa lakini vya yake kuwa",
    "Tagalog": "ang ng sa mga na ay at ito para hindi may kung ni siya o nang ano",
    "Catalan": "de la que el i els les del amb per una no és dels al com més però són seva aquest aquesta quan un en",
    "Albanian": "dhe në të e për me nga një është që si nuk ka më ose",
    "Lithuanian or Latvian": "ir kad su yra iš bet kaip per dėl arba nuo un ar no kas par vai ir tika pēc",
    "Estonian": "ja on ei et see oli ta kes aga või kui ka mis kuid nii ole",
}


def other_language(text: str) -> str:
    """The language or alphabet that a text is in, if it is not in English; empty where it is, or says too little."""
    words = _WORD.findall(text)
    scripts = Counter(_script(word) for word in words)
    latin, foreign = scripts.pop("LATIN", 0), scripts
    foreign.pop("", None)
    if foreign and sum(foreign.values()) > FOREIGN * (latin + sum(foreign.values())):
        return f"{foreign.most_common(1)[0][0].title()} letters"
    seen = Counter(word.lower() for word in words if not word.isupper())  # LE and ED are abbreviations
    english = sum(seen[word] for word in _english() & seen.keys())
    for language, small in _small_words().items():
        met = small & seen.keys()
        times = sum(seen[word] for word in met)
        if len(met) >= WORDS and times >= SHARE * latin and times > english:
            return language
    return ""


@cache
def _english() -> frozenset[str]:
    return frozenset(_ENGLISH.split())


@cache
def _small_words() -> dict[str, frozenset[str]]:
    """Of the other languages, without those that are English too, and single letters."""
    return {
        language: frozenset(word for word in words.split() if len(word) > 1 or not word.isascii()) - _english()
        for language, words in _OTHERS.items()
    }


@cache
def _script(word: str) -> str:
    """Alphabet of a word by its first letter; empty: Greek letters as in "TNF-α"."""
    name = unicodedata.name(word[0], "").split(" ")[0]
    if name in ("LATIN", "MICRO", "FEMININE", "MASCULINE", "MODIFIER", "FULLWIDTH", "OHM", "KELVIN", "ANGSTROM"):
        return "LATIN"
    return "" if name == "GREEK" and len(word) < 3 else name
