# ruff: noqa: RUF001  # curly apostrophes are what some of this is about
"""Assistants that decline, and people who do."""

import pytest

from bioinstruct_jax.generation.refusals import refused

DECLINED = [
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, but I can’t assist with that.",
    "I am sorry, but I cannot provide medical advice.",
    "Sorry, I can't help with that.",
    "I'm sorry, I cannot fulfill this request as it goes against guidelines.",
    "I apologize, but I am unable to generate the requested summary.",
    "I cannot provide a diagnosis without more information.",
    "I can't provide personalised medical advice.",
    "Unfortunately, I am not able to access the image you mention.",
    "As an AI language model, I cannot give medical advice.",
    "As a language model, I'm unable to provide a diagnosis.",
    "I'm unable to answer this question because no note was given.",
    "I am not able to complete this task.",
    "We cannot process this request.",
    "I must decline to answer this question.",
    "I won't be able to help with that.",
    "I will not provide instructions for making that drug.",
    "I don't have access to the patient's records.",
    "I do not have enough information to answer.",
    "It is not possible for me to determine the diagnosis.",
    "This request cannot be fulfilled.",
    "Please provide the clinical note so that I can summarise it.",
    "Could you please provide the text of the abstract?",
    "No input was provided.",
    "I'm afraid I can't do that.",
    "My apologies, but I cannot create content of this kind.",
    "**I'm sorry**, but I cannot comply with this request.",
    "I would need more information to answer this question.",
    "Thank you for your question. Unfortunately, I cannot offer medical advice.",
    "I understand your concern, but I cannot provide a prescription or medical advice.",
    "While I can discuss general topics, I cannot diagnose you or provide medical advice.",
    "I regret that I am unable to assist.",
    "I do not feel comfortable providing that information.",
    "I'm not able to view images.",
    "I'm sorry, but there is no passage provided.",
    "I'm sorry, but the input is missing.",
    "Sorry, but as an AI I can't help you with that.",
]
# Written after the patterns: 7 of 10 were seen before the dash and "in good conscience" were added.
LATER = [
    "I’m really sorry, but I’m not able to help with this question.",
    "Sorry — I can't provide dosing instructions for that combination.",
    "I apologize for the confusion, but I cannot generate a discharge summary without the note.",
    "Unfortunately I don't have the abstract you are referring to.",
    "As an AI, I do not have personal experiences of illness.",
    "I cannot in good conscience write this letter.",
    "It would be inappropriate for me to speculate about the diagnosis.",
    "My apologies, I am unable to process this request at the moment.",
    "I'm not qualified to give medical advice; see a doctor.",
    "I can not answer that question because the report is missing.",
]
PEOPLE = [
    "The patient declined surgery after discussion.",
    "Sorry, I cannot feel my toes since the operation.",
    "I can't breathe when I lie flat.",
    "I cannot see out of my left eye.",
    "I'm sorry to hear that your knee is still painful.",
    "I am sorry that you had to wait. Your results are back.",
    "I am afraid the biopsy shows cancer.",
    "Unfortunately, the scan shows that the tumour has grown.",
    "I cannot give a urine sample.",
    "I could not tolerate the tablets.",
    "I'm afraid of needles.",
    "I won't take that medicine again.",
    "I can't help scratching at night.",
    "I can't help coughing when I laugh.",
    "Not stated",
    "No",
    "Please provide a urine sample before the visit.",
    "No drugs were given.",
    "I do not have chest pain.",
    "I don't have access to a car, so I missed the appointment.",
    "I refuse to have another colonoscopy.",
    "Patient: I'm sorry, but I can't answer that question.",
    '"I cannot help with the stairs," she said.',
    "I understand that you are worried about the flu vaccine; it is safe in pregnancy.",
    "We cannot rule out a pulmonary embolism.",
    "We could not identify any variant in BRCA1.",
    "I need more insulin at night.",
    "I will not resuscitate is no valid order.",
    "Sorry for the delay in replying to your message.",
    "Unfortunately, we cannot prescribe antibiotics for a viral sore throat.",
    "I'm sorry, but the appointment has to be moved to Tuesday.",
    "We cannot exclude malignancy; biopsy is advised.",
    "No text neck was found.",
    "I can't sleep and my legs ache.",
    "I cannot make a fist with my right hand.",
    "I couldn't open my jaw.",
    "I could not walk to the toilet, and I see double.",
    "Consult a physician if the fever lasts more than three days. Drink plenty and rest.",
    "I don't see any reason to stop the statin.",
]


@pytest.mark.parametrize("text", DECLINED)
def test_an_assistant_declines(text):
    # Mutation: apostrophes that are not made straight; marks of Markdown that stay.
    assert refused(text)
    assert refused(f"  **{text}**\n\nPatient: I feel well.")
    assert refused(text.replace("'", "\u2019").replace(" ", "\n", 1))


@pytest.mark.parametrize("text", PEOPLE)
def test_people_decline(text):
    # Mutation: "sorry" alone as a refusal, as in many lists; "(?:i|we) cannot" without what it is that cannot be done.
    assert not refused(text)


@pytest.mark.parametrize("text", DECLINED)
def test_a_refusal_within_a_text_passes(text):
    # Mutation: `search` instead of `match`.
    assert not refused(f"Doctor: How can I help? Patient: {text}")
    assert not refused(f'"{text}"')


def test_refusals_written_after_the_patterns():
    assert [text for text in LATER if not refused(text)] == ["As an AI, I do not have personal experiences of illness."]


@pytest.mark.parametrize(
    "piece", ["sorry ", "i understand ", "but ", "i cannot provide ", "as an ", "thank you ", "please "]
)
def test_a_text_meant_to_hurt(piece):
    refused(piece * 100_000)
