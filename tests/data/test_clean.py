import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.data.assemble import read_rows
from llmrec_prompt.data.clean import choose_rule, drop_repeats, judge_scale, keep_core, keep_preferred
from llmrec_prompt.data.readers import RawData
from llmrec_prompt.data.rows import Rows, read_numbers
from llmrec_prompt.errors import ConfigError, DataError
from tests.data.strategies import catalogue, keep_all, logs

