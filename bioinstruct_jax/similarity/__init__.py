"""Which texts are alike: ROUGE-L, shared n-grams, near-duplicates; exact, and fast enough for whole corpora."""
