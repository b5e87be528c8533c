# ruff: noqa: RUF001  # letters of other alphabets are what this is about
"""Sentences of ours in other languages, and English that looks like none."""

import json
import os
from pathlib import Path

import pytest

from bioinstruct_jax.generation.language import other_language

OTHERS = {
    "Spanish": "El paciente tiene fiebre desde hace tres días y no puede comer por el dolor de garganta.",
    "Spanish, a question": "¿Cuál es el tratamiento más adecuado para la hipertensión en una mujer embarazada?",
    "French": "Le patient se plaint d'une douleur dans la poitrine qui dure depuis deux jours et ne cède pas au repos.",
    "French, a task": "Résumez la note du médecin en une phrase et donnez les médicaments avec leur dose.",
    "German": "Der Patient klagt über Schmerzen in der Brust, die seit zwei Tagen nicht nachlassen.",
    "German, a task": "Fassen Sie den Befund zusammen und nennen Sie die Medikamente mit der Dosis für das Kind.",
    "Italian": "Il paziente ha la febbre da tre giorni e non riesce a mangiare per il dolore alla gola.",
    "Portuguese": "O paciente está com febre há três dias e não consegue comer por causa da dor de garganta.",
    "Dutch": "De patiënt heeft sinds drie dagen koorts en kan niet eten door de pijn in het keelgebied.",
    "Swedish": "Patienten har haft feber i tre dagar och kan inte äta på grund av att det gör ont i halsen.",
    "Danish": "Patienten har haft feber i tre dage og kan ikke spise, fordi det gør ondt i halsen.",
    "Norwegian": "Pasienten har hatt feber i tre dager og kan ikke spise fordi det gjør vondt i halsen.",
    "Polish": "Pacjent ma gorączkę od trzech dni i nie może jeść, ponieważ boli go gardło, które jest czerwone.",
    "Czech": "Pacient má tři dny horečku a nemůže jíst, protože ho bolí v krku, který je zarudlý, a je slabý.",
    "Croatian": "Bolesnik ima temperaturu tri dana i ne može jesti jer ga boli grlo koje je crveno, a kašlje i na noć.",
    "Romanian": "Pacientul are febră de trei zile și nu poate mânca din cauza durerii în gât care este tot mai mare.",
    "Hungarian": "A betegnek három napja láza van, és nem tud enni, mert fáj a torka, de ez nem volt így korábban.",
    "Finnish": "Potilaalla on ollut kuumetta kolme päivää, eikä hän voi syödä, koska kurkku on kipeä, mutta hän juo.",
    "Turkish": "Hastanın üç gündür ateşi var ve boğaz ağrısı için ilaç aldı, ancak bu ilaç ile daha iyi olmadı.",
    "Indonesian": "Pasien mengalami demam sejak tiga hari yang lalu dan tidak dapat makan karena sakit di tenggorokan.",
    "Vietnamese": "Bệnh nhân bị sốt ba ngày và không thể ăn được vì đau họng, nhưng đã uống thuốc cho bệnh này.",
    "Catalan": "El pacient té febre des de fa tres dies i no pot menjar per culpa del mal de coll que li fa la gola.",
    "Swahili": "Mgonjwa ana homa kwa siku tatu na hawezi kula kwa sababu ya maumivu ya koo, lakini ni wa afya.",
    "Russian": "У пациента три дня держится температура, и он не может есть из-за боли в горле.",
    "Greek": "Ο ασθενής έχει πυρετό εδώ και τρεις ημέρες και δεν μπορεί να φάει.",
    "Chinese": "患者发热三天，咽痛，不能进食。",
    "Chinese with a drug": "患者服用 amoxicillin 500 mg 三天后出现皮疹，请说明原因。",
    "Japanese": "患者は三日前から発熱があり、喉の痛みで食事ができません。",
    "Korean": "환자는 사흘 전부터 열이 나고 목이 아파서 음식을 먹지 못합니다.",
    "Arabic": "يعاني المريض من الحمى منذ ثلاثة أيام ولا يستطيع الأكل.",
    "Hebrew": "החולה סובל מחום מזה שלושה ימים ואינו יכול לאכול.",
    "Hindi": "रोगी को तीन दिन से बुखार है और गले में दर्द के कारण वह खा नहीं सकता।",
    "Bengali": "রোগীর তিন দিন ধরে জ্বর এবং গলা ব্যথার কারণে খেতে পারছেন না।",
    "Thai": "ผู้ป่วยมีไข้มาสามวันและเจ็บคอจนกินอาหารไม่ได้",
}
ENGLISH = [
    "",
    "no",
    "42",
    "7.35 | 5.6 kPa | 24 mmol/L\n135 | 4.1 | 98",
    "BRCA1, BRCA2, TP53, PALB2, CHEK2, ATM, PTEN, STK11, CDH1",
    "Na 138, K 4.1, Cl 102, urea 5.2, Cr 88, LE 2+, ED review; d/c en route, pt a/o x3",
    "amoxicillin\nclarithromycin\nparacetamol\nomeprazole\nfurosemide\nbisoprolol\napixaban\nmetformin",
    "musculus flexor digitorum superficialis; nervus ischiadicus; arteria carotis interna; vena cava inferior",
    "Staphylococcus aureus, Streptococcus pneumoniae, Pseudomonas aeruginosa, Escherichia coli",
    "Gilles de la Tourette syndrome; maladie de Roger; folie à deux; tic douloureux; peau d'orange",
    "cri du chat; café au lait spots and a pièce de théâtre",
    "TNF-α, IL-1β, IFN-γ, κ light chains, β-blocker, μ-opioid receptor, ΔF508, 5 μg/kg",
    "O O B-DISEASE I-DISEASE O O B-DRUG O",
    "sig: 1 tab po bid pc x 7/7, prn, nil per os, ad lib, per rectum, in situ, in vivo, ex vivo, de novo, et al.",
    "Pt c/o SOB. Hx of CHF. No CP. Lungs CTA. Plan: IV furosemide, CXR, BNP.",
    "die back of the nerve in der Hansen and van den Berg; de Quervain, von Willebrand, du Bois, le Fort",
    "Sjögren, Ménière, Guillain-Barré, Behçet, Köhler, Waldenström, Hashimoto, Kawasaki, Chediak-Higashi",
    '{"drug": "apixaban", "dose": "5 mg", "route": "PO", "frequency": "BD"}',
    "Translate for Señora García, who speaks no English, that she may go home on Monday.",
    "The Greek letters αλφα and βήτα name receptors here and in many other texts.",
    "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV",
    "ACGTACGTTAGC GGCATTAGCA TTAGGCATCG AACGTTAGCC",
]


@pytest.mark.parametrize("name", OTHERS)
def test_other_languages_are_seen(name):
    # Mutation: one small word less in most of the lists, or WORDS = 4.
    assert other_language(OTHERS[name])


@pytest.mark.parametrize("text", ENGLISH)
def test_what_is_english_or_says_too_little_passes(text):
    # Mutation: WORDS = 2 (syndromes with French names), or Greek letters counted as words.
    assert other_language(text) == ""


def test_a_text_is_judged_by_most_of_it():
    spanish = OTHERS["Spanish"]
    assert other_language("Translate the following sentence for the nurse who is with her. " + spanish) == ""
    assert other_language("Summary. " + spanish + spanish) == "Spanish"


@pytest.mark.slow
@pytest.mark.skipif("BIOINSTRUCT_DATA" not in os.environ, reason="BIOINSTRUCT_DATA is not set")
def test_answers_of_a_real_corpus_are_english():
    lines = Path(os.environ["BIOINSTRUCT_DATA"], "medquad", "medquad.jsonl").read_text(encoding="utf-8").splitlines()
    alarms = [row["id"] for row in map(json.loads, lines) if other_language(row["question"] + "\n" + row["answer"])]
    assert len(alarms) < len(lines) / 1000
