"""Workers whose steps do what native code does on a bad day."""

import pytest

import bnexport.isolation.worker as module

# Runs in the worker in place of its own beginning: the steps are replaced before it serves.
PLANTED = """
import ctypes, os, signal, sys, time
sys.path.append({root!r})
from bnexport.isolation import serve, steps
from bnexport.isolation.wire import Message

def crash(*given): ctypes.string_at(0)
def abort(*given): print("terminate called after throwing", file=sys.stderr, flush=True); os.abort()
def hang(*given):
    while True: time.sleep(1)
def deaf(*given): ctypes.PyDLL(None).sleep(100)  # holds the interpreter's lock, as native code may
def hog(*given):
    held = []
    while True: held.append(bytearray(os.urandom(1 << 20) * 16))
def killed(*given): os.kill(os.getpid(), signal.SIGKILL)
def leave(*given): os._exit(3)
def babble(*given): os.write(int(sys.argv[1]), b"\\xff\\xff\\xff\\x7f" * 100); time.sleep(9)
def echo(arguments, blobs, files, say):
    say("on it")
    return Message({{"arguments": arguments, "files": [os.pread(f, 9, 0).decode() for f in files]}}, blobs)
def fail(*given): raise KeyError("what")
def cut(*given): return Message({{"invalid": ""}})

plan = {plan!r}
steps.STEPS = {{**steps.STEPS, **{{name: globals()[do] for name, do in plan.items()}}}}
serve.main()
"""


@pytest.fixture
def planted(monkeypatch):
    """Let steps of the workers that are started from now on do something else."""

    def plant(**plan):
        monkeypatch.setattr(module, "_START", PLANTED.format(root=module._ROOT, plan=plan))

    return plant
