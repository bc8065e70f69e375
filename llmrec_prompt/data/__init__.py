"""Data sets: reading, cleaning, splitting, candidates. Knows nothing about prompts and models."""

from llmrec_prompt.data.candidates import (
    drawable,
    mixed,
    read_candidates_file,
    sample_candidates,
    seen,
    with_target,
)
from llmrec_prompt.data.clean import Cleaning, CleaningReport, Step
from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.data.domain import DOMAINS
from llmrec_prompt.data.entries import Entries, Entry, typed_item
from llmrec_prompt.data.impressions import Impression
from llmrec_prompt.data.interests import Interests, derive_interests
from llmrec_prompt.data.normalise import Scaler
from llmrec_prompt.data.readers import RawData, read_folder
from llmrec_prompt.data.samples import sample_names
from llmrec_prompt.data.shown import last_impression
from llmrec_prompt.data.splits import (
    COLD_LENGTHS,
    Case,
    Split,
    cold_domain,
    cold_item,
    cold_user,
    global_time,
    leave_last_out,
)
from llmrec_prompt.data.titles import TitleIndex, TitleMatch
from llmrec_prompt.data.writers import write_two_file

__all__ = [
    "COLD_LENGTHS",
    "DOMAINS",
    "Case",
    "Cleaning",
    "CleaningReport",
    "Dataset",
    "Entries",
    "Entry",
    "Impression",
    "Interests",
    "RawData",
    "Scaler",
    "Split",
    "Step",
    "TitleIndex",
    "TitleMatch",
    "cold_domain",
    "cold_item",
    "cold_user",
    "derive_interests",
    "drawable",
    "global_time",
    "last_impression",
    "leave_last_out",
    "mixed",
    "read_candidates_file",
    "read_folder",
    "sample_candidates",
    "sample_names",
    "seen",
    "typed_item",
    "with_target",
    "write_two_file",
]
