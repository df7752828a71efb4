import io

from bnexport.cli.progress import progress
from bnexport.events import Event, silent

EVENTS = (
    Event("load", "begin"),
    Event("load", "end", seconds=0.25),
    Event("verify", "begin", "at batch 1 and 8"),
    Event("verify", "step", "ONNX Runtime", 1.0, 0.5),
    Event("verify", "end", seconds=12.0),
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(stream, quiet=False):
    with progress(quiet=quiet, stream=stream) as observe:
        for event in EVENTS:
            observe(event)
    return stream.getvalue()


def test_a_file_gets_one_line_a_stage():
    assert told(io.StringIO()) == "load        0.2 s\nverify     12.0 s  at batch 1 and 8\n"


def test_quiet_is_silent():
    with progress(quiet=True, stream=Terminal()) as observe:
        assert observe is silent


def test_a_terminal_is_left_clean(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = told(Terminal())
    assert text.endswith("\x1b[2K") or text.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_a_step_shows_how_far_it_is(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress(quiet=False, stream=stream) as observe:
        observe(EVENTS[3])
        observe._status._live.refresh()
    assert "ONNX Runtime 50%" in stream.getvalue()


def test_text_cannot_move_the_cursor():
    stream = io.StringIO()
    with progress(quiet=False, stream=stream) as observe:
        observe(Event("load", "end", "\x1b[2J", 1.0))
    assert stream.getvalue() == "load        1.0 s  \\x1b[2J\n"
