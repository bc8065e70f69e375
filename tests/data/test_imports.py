import subprocess
import sys


def test_the_room_loads_no_heavy_package():
    heavy = "{'pyarrow', 'rapidfuzz', 'pandas', 'torch'}"
    code = f"import sys, llmrec_prompt.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
