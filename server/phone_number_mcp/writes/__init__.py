"""Writes: claimed in the journal, sent once, reconciled if the answer is lost."""
