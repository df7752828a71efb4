import os
import subprocess
import sys

from bnexport.cli.streams import divert_stdout

PROGRAM = """
import os
from bnexport.cli.streams import divert_stdout
with divert_stdout():
    print("python"); os.write(1, b"native\\n"); os.system("echo child")
print("after")
"""


def test_every_writer_is_diverted_and_then_restored():
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert shown.stdout == "after\n"
    assert sorted(shown.stderr.split()) == ["child", "native", "python"]


def test_stdout_is_restored_after_an_error(capfd):
    try:
        with divert_stdout():
            raise ValueError
    except ValueError:
        os.write(1, b"back\n")
    assert capfd.readouterr().out == "back\n"


def test_a_process_without_stdout_runs_too():
    command = f"{sys.executable} -m bnexport passes >&- 2>/dev/null"
    assert subprocess.run(["sh", "-c", command]).returncode == 0
