"""Corpora, each described once: readers, splits, licences, wordings, and the way from gold to text and back."""
