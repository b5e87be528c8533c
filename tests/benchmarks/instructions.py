"""Instructions as a teacher may write them for biomedical text: made by a grammar, any number, the same for a seed.

Like BioInstruct's they have 10 to 11 words on average and begin with a verb or a question word. One in eight is an
earlier one with a word or two dropped, doubled or put in another's place, which a filter has to notice. Medicines of
three syllables are of no pharmacy: only how often words recur matters here.
"""

from collections.abc import Iterator

import numpy as np


def _each(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


SYLLABLES = _each(
    "ba|ce|do|fi|ga|lo|mi|na|pe|ra|so|ti|vu|xa|zo|bri|cla|dro|fle|pra|sta|tre|ver|lin|mab|nib|pril|sar|tan|vir"
)
SITES = _each(
    "left knee|right hip|lumbar spine|cervical spine|liver|pancreas|thyroid|right lung|left breast|colon|stomach|"
    "esophagus|bladder|prostate|ovary|uterus|retina|cornea|middle ear|parotid gland|adrenal gland|spleen|left kidney|"
    "mitral valve|aortic arch|carotid artery|femoral vein|temporal lobe|cerebellum|pituitary|tongue|larynx|skin|scalp|"
    "jaw|left wrist|right ankle|shoulder|gallbladder|small bowel|rectum|pleura|pericardium|bone marrow"
)
LESIONS = _each(
    "fracture|abscess|carcinoma|adenoma|cyst|ulcer|stenosis|infection|hemorrhage|infarction|nodule|polyp|tear|"
    "inflammation|necrosis|metastasis|effusion|calcification|atrophy|dysplasia|fistula|perforation|thrombosis|edema|"
    "fibrosis|aneurysm|granuloma|sarcoma|hematoma|obstruction|prolapse|rupture|erosion|hyperplasia"
)
KINDS = _each(
    "acute|chronic|recurrent|congenital|suspected|benign|malignant|postoperative|bilateral|severe|mild|traumatic|"
    "idiopathic|drug-induced|asymptomatic|progressive|painful|untreated|hereditary|refractory"
)
SPECIALTIES = _each(
    "cardiology|oncology|neurology|nephrology|dermatology|psychiatry|pediatrics|geriatrics|urology|rheumatology|"
    "hematology|gastroenterology|ophthalmology|orthopedics|obstetrics|radiology|anesthesiology|immunology|pharmacy"
)

ASKS = _each(
    "Summarize|Explain|Describe|List|Identify|Extract|Classify|Generate|Write|Rewrite|Compare|Determine|Suggest|"
    "Provide|Analyze|Interpret|Convert|Predict|Translate|Evaluate|Simplify|Recommend|Discuss|Outline|Find|Name|"
    "Rank|Match|Correct|Draft"
)
THINGS = _each(
    "the main findings|the differential diagnosis|all medications with their doses|the adverse effects|the symptoms|"
    "the risk factors|the diagnosis|the treatment plan|the mechanism of action|the contraindications|the laboratory "
    "values|the chief complaint|the inclusion criteria|the exclusion criteria|the follow-up plan|the family history|"
    "the primary outcome|the most likely cause|the stage|the affected organ|the negated findings|the allergies|"
    "the abbreviations|the timeline of events|the drug interactions|the sample size|the study design|the prognosis|"
    "the severity|the next diagnostic step|the discharge instructions|the procedures|the vital signs|the genes|"
    "a short explanation|a patient-friendly summary|a one-sentence conclusion|three key points|a list of questions|"
    "the social history|the indication|the imaging findings|the microbiology results|the care team"
)
SOURCES = _each(
    "the discharge summary|the radiology report|the pathology report|the progress note|the abstract|the case report|"
    "the emergency department note|the operative note|the nursing note|the referral letter|the trial record|"
    "the doctor-patient conversation|the admission note|the clinic letter|the package insert|the echocardiography "
    "report|the death certificate|the consult note|the paragraph|the passage|the laboratory report|the guideline"
)
DISEASES = _each(
    "asthma|diabetes|hypertension|pneumonia|sepsis|stroke|heart failure|atrial fibrillation|breast cancer|melanoma|"
    "multiple sclerosis|epilepsy|migraine|gout|lupus|psoriasis|cirrhosis|hepatitis B|tuberculosis|malaria|anemia|"
    "leukemia|lymphoma|osteoporosis|glaucoma|cystic fibrosis|celiac disease|Crohn disease|chronic kidney disease|"
    "pulmonary embolism|deep vein thrombosis|rheumatoid arthritis|Parkinson disease|dementia|depression|endometriosis|"
    "preeclampsia|appendicitis|pancreatitis|meningitis|sickle cell disease|hypothyroidism|COPD|sarcoidosis"
)
DRUGS = _each(
    "metformin|insulin|aspirin|warfarin|apixaban|lisinopril|amlodipine|atorvastatin|prednisone|methotrexate|"
    "amoxicillin|vancomycin|ceftriaxone|furosemide|spironolactone|levothyroxine|omeprazole|sertraline|lithium|"
    "valproate|carbamazepine|morphine|ibuprofen|acetaminophen|albuterol|tamoxifen|cisplatin|rituximab|adalimumab"
)
PEOPLE = _each(
    "an adult|a child|an elderly patient|a pregnant woman|a newborn|a patient on dialysis|a smoker|an athlete|"
    "a 54-year-old man|a 23-year-old woman|a medical student|a caregiver|a layperson|a transplant recipient"
)
LIMITS = _each(
    "in two sentences|in plain language|in at most 50 words|as a bulleted list|as a table|in chronological order|"
    "and give one reason|without using abbreviations|with the dose of each|for a lay reader|in one paragraph|"
    "and say how certain you are|using only the text|step by step|as JSON|and cite the sentence"
)
QUESTIONS = _each(
    "What is the role of {gene} in {disease}?|Why avoid {drug} in {disease}?|Which test confirms {disease}?|How does "
    "{drug} interact with {drug}?|What are the signs of {disease} in {person}?|Is {drug} safe in {disease}?|How is "
    "{disease} told apart from {disease}?|Does {gene} predict response to {drug}?|Can {drug} cause {disease}?"
)
ORDERS = _each(
    "{ask} {thing} from {source}.|{ask} {thing} of {disease} {limit}.|{ask} {thing} of {person} with {disease}.|Given "
    "{source}, {low} {thing}.|{ask} how {drug} treats {disease}.|{ask} {thing} and {thing} of {disease}.|{ask} {thing} "
    "for {disease} {limit}.|{ask} evidence for {drug} in {disease}.|{ask} {gene} expression in {disease}.|{ask} "
    "{disease} to {person}.|{ask} {drug} dosing for {person}.|As a {specialty} resident, {low} {thing} for {disease}.|"
    "{ask} {thing} after {disease}.|Tell {person} about {disease} {limit}.|{ask} {disease}, {disease} and {disease}.|"
    "{ask} {thing} in {source} about {drug} and {gene}.|{ask} {drug}, {drug} and {drug} by risk of {disease}."
)


TAILS = _each(
    "{limit}|given {gene} positive {disease}|while taking {drug} and {drug}|{limit}, with {drug} in mind|before "
    "{specialty} follow-up of {disease}"
)


def instructions(count: int, seed: int = 0) -> Iterator[str]:
    """So many instructions; the first ones are the same however many are made."""
    random, made = np.random.default_rng(seed), []
    for _ in range(count):
        text = _changed(made[random.integers(len(made))], random) if made and random.random() < 1 / 8 else _new(random)
        made.append(text)
        yield text


def drawn(count: int, seed: int = 0) -> Iterator[str]:
    """So many texts of 6 to 15 words as frequent as in a language (Zipf), near to none: the hardest to place."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield " ".join(f"w{word}" for word in random.zipf(1.2, random.integers(6, 16)) % 8000)


def _new(random: np.random.Generator) -> str:
    pattern = _one(random, QUESTIONS if random.random() < 0.25 else ORDERS)
    if random.random() < 0.3:
        pattern = f"{pattern[:-1]} {_one(random, TAILS)}{pattern[-1]}"
    ask = _one(random, ASKS)
    while "{" in pattern:
        start, end = pattern.index("{"), pattern.index("}")
        match pattern[start + 1 : end]:
            case "ask":
                word = ask
            case "low":
                word = ask.lower()
            case "gene":
                letters = "".join(chr(65 + letter) for letter in random.integers(0, 26, 3))
                word = f"{letters}{random.integers(1, 30)}"
            case "drug" if random.random() < 0.7:
                word = "".join(_one(random, SYLLABLES) for _ in range(3))
            case "disease" if random.random() < 0.7:
                word = f"{_one(random, KINDS)} {_one(random, SITES).split()[-1]} {_one(random, LESIONS)}"
            case kind:
                word = _one(random, _WORDS[kind])
        pattern = pattern[:start] + word + pattern[end + 1 :]
    return pattern


def _changed(text: str, random: np.random.Generator) -> str:
    words = text.split()
    for _ in range(random.integers(1, 3)):
        place = int(random.integers(len(words)))
        match random.integers(3):
            case 0 if len(words) > 4:
                del words[place]
            case 1:
                words.insert(place, words[place])
            case _:
                words[place] = _one(random, _one(random, list(_WORDS.values()))).split()[-1]
    return " ".join(words)


def _one(random: np.random.Generator, of):
    return of[int(random.integers(len(of)))]


_WORDS = {
    "thing": THINGS,
    "source": SOURCES,
    "disease": DISEASES,
    "drug": DRUGS,
    "person": PEOPLE,
    "limit": LIMITS,
    "specialty": SPECIALTIES,
}
