"""Words that `verbs` knows: none is a rule, and each list may grow."""


def words(text: str) -> frozenset[str]:
    """The words of a text that are set apart by blanks."""
    return frozenset(text.split())


# Hardly ever nouns: behind a noun they are the verb.
VERBS = words("""
abbreviate add adjust advise affect affirm agree allow analyze annotate anonymize anticoagulate apply appraise
argue arrange articulate ascertain ask assemble assess assign assist be become begin brainstorm bring build
calculate categorize characterize check choose cite clarify classify clean collate collect combine comment
communicate compare compile complete compose compute conclude condense conduct confirm consider construct
contain contrast contribute convert convey correct correlate craft create critique cure decide deduce define
delineate demonstrate deny derive describe detect determine develop devise diagnose differ differentiate
digitize discover discuss distinguish divide elaborate elicit eliminate employ encode enhance ensure enumerate
establish evaluate examine exclude expand explain explore express extract feel fill find flag follow form
formulate gather generate get give go grow guess handle happen harmonize have help highlight hypothesize
identify illustrate imagine improve include incorporate increase indicate infer inform insert integrate interact
interpret introduce invent investigate involve justify keep know lead learn let lie listen locate lower maintain
make manage mean measure mention merge modify need normalize obtain occur offer omit optimize organize
paraphrase parse perform point populate postulate predict prepare prescribe present pretend prevent prioritize
produce propose prove provide pull put quantify quote rate read rearrange reason recast receive recognize
recommend reconcile reconstruct record reduce refer reformulate reframe relate remove reorder reorganize
rephrase replace reply represent require resolve respond restate restructure retrieve rewrite say see segment
select separate set shorten show simplify simulate sketch solve specify spell split standardize start stop
stratify structure submit substitute subtract suggest summarize supply support synthesize take teach tell think
tokenize transcribe transform translate transpose treat trim try turn understand undertake unify update use
validate verify weigh work write
""")
# Nouns as well: a verb where a sentence begins with them.
NOUNS_TOO = words("""
abstract act address alert answer assay audit balance blind block bold book bracket budget care cause challenge
change chart claim code color contact contract count cover debate delay design detail document dose draft draw
edit end estimate experience explain file finish focus forecast frame grade graph group guide handle index
interview issue judge label limit link list log map mark mask match model name negate note number order outline
pair pitch place plan play plot practice process profile program prompt question quiz rank reference register
report research result return review role sample scan schedule score screen search sequence share sort stage
state study subject survey switch tabulate tag target test time title trace track treat triage trigger value
view voice walk weight word
""")
# And numerals, and what stands before an article or numeral.
DETERMINERS = words("""
a all an another any at both each eight either every exactly few five four her his its just many most my neither
nine no one only other our seven several six some such ten that the their these this those three two your
""")
# And conjunctions and participles with which an opening may begin.
PREPOSITIONS = words("""
about above according across after against along although among around as at based because before behind below
beneath beside between beyond by considering despite during except following for from given if in including
inside into like near of off on once onto out outside over per rather regarding since than through throughout to
toward towards under unless until up upon using versus via when where while with within without
""")
PRONOUNS = words("""
anyone everyone he him i it me she someone them themselves they us we you yourself
""")
# That stand before an imperative.
ADVERBS = words("""
again also always and below do finally first here just kindly let's next now please then
""")
# Before the base form of a verb.
AUXILIARIES = words("""
can could did do does may might must shall should will would
""")
# And of "have".
FORMS_OF_BE = words("""
am are had has have is was were
""")
ASKING = words("""
how what when where which who whom whose why
""")
STOPS = (
    PREPOSITIONS | ASKING | AUXILIARIES | FORMS_OF_BE | words("that whether not so then be been being and or but nor")
)
# Verbs that give somebody a part.
ROLES = words("""
act assume be behave consider imagine play pretend serve suppose
""")
PARTICLES = {
    "break": ("down",),
    "carry": ("out",),
    "draw": ("up",),
    "fill": ("in", "out"),
    "lay": ("out",),
    "list": ("out",),
    "listen": ("in",),
    "look": ("up",),
    "make": ("up",),
    "map": ("out",),
    "note": ("down",),
    "pick": ("out",),
    "point": ("out",),
    "pull": ("out",),
    "put": ("together",),
    "set": ("out", "up"),
    "sort": ("out",),
    "spell": ("out",),
    "take": ("apart",),
    "turn": ("around",),
    "work": ("out",),
    "write": ("out", "up", "down"),
}
IRREGULAR = {
    "appendices": "appendix",
    "bacteria": "bacterium",
    "children": "child",
    "criteria": "criterion",
    "data": "data",
    "feet": "foot",
    "indices": "index",
    "leaves": "leaf",
    "lives": "life",
    "men": "man",
    "metastases": "metastasis",
    "people": "person",
    "phenomena": "phenomenon",
    "series": "series",
    "species": "species",
    "teeth": "tooth",
    "vertebrae": "vertebra",
    "vertices": "vertex",
    "women": "woman",
}
