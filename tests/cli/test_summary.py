import io

from rich.console import Console
from sample_report import facts, failed_check, parity

from bnexport.cli.summary import show_summary
from bnexport.ledger import Ledger, LedgerRow
from bnexport.report import Size, Source, document


def shown(given, *, width=80, **options):
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    show_summary(console, document(given), **options)
    return console.file.getvalue()


SUMMARY = """\
model     resnet.pt (checkpoint, sha256 abababababab)
note      stripped the prefix module.
note      1 SyncBatchNorm became BatchNorm2d
assumed   x is Nx3x32x32
BatchNorm 4: 1 absorbed, 1 merged, 1 kept, 1 unused
kept      tail.bn: its input is read by two others
size      44.7 MB, 312 nodes -> 44.6 MB, 153 nodes
agreement held against PyTorch 2.13.0 eval mode, float64; limit 5 x the model's
          own rounding
  runtime                      dtype  batch    error    limit  independent
  ONNX Runtime 1.32.0 (cpu)  float32      1  4.0e-07  1.5e-06            -  ok
  ONNX Runtime 1.32.0 (cpu)  float32      8  4.0e-07  1.5e-06          yes  ok
skipped   tensorrt_rtx 1.7.1: built for sm_89, not executed: no CUDA device
wrote     out/resnet.onnx (onnx, 44.6 MB)
wrote     out/resnet.report.json (report)
done      in 2.5 s; all 4 checks passed
"""

LEDGER = """\
  name     kind           channels  fate
  stem.bn  BatchNorm2d          32  absorbed into stem.conv
  head.bn  SyncBatchNorm        64  merged into neck.bn
  tail.bn  BatchNorm1d           8  kept: its input is read by two others
  aux.bn   BatchNorm2d          16  unused: no forward pass reaches it
"""

PASSES = """\
  pass           changed  nodes          seconds
  FoldConstants      yes    312  -> 153    0.250
"""


def test_the_whole_summary():
    assert shown(facts(), path="out/resnet.report.json") == SUMMARY


def test_nothing_is_wider_than_the_terminal_but_a_path():
    wide = facts(source=Source("net", "checkpoint", notes=("a note " * 40,)))
    assert max(map(len, shown(wide).splitlines())) <= 80


def test_the_ledgers_rows_are_shown_on_demand():
    assert LEDGER in shown(facts(), every_row=True)


def test_the_passes_are_shown_on_demand():
    assert PASSES in shown(facts(), every_pass=True)


def test_only_the_first_kept_rows_are_shown_and_the_rest_counted():
    rows = tuple(LedgerRow(f"b{i}", "BatchNorm2d", 1, "kept", reason="r") for i in range(23))
    text = shown(facts(ledger=Ledger(rows)))
    assert "b19: r" in text
    assert "b20" not in text
    assert "and 3 more: --ledger lists them" in text


def test_a_model_without_batch_norm_says_so():
    assert "\nBatchNorm none\n" in shown(facts(ledger=Ledger()))


def test_inputs_that_were_given_are_shown():
    given = facts()
    told = type(given.examples)(given.examples.specs)
    assert "\ninput     x Nx3x32x32 float32\n" in shown(facts(examples=told))


def test_a_live_module_is_shown_by_its_name():
    text = shown(facts(source=Source("ResNet", "module")))
    assert text.startswith("model     ResNet (module)\n")


def test_a_size_without_a_graph_is_shown_without_nodes():
    assert "\nsize      999 B -> 1.2 kB, 3 nodes\n" in shown(
        facts(before=Size(999), after=Size(1234, 3))
    )


def test_names_from_a_file_cannot_move_the_cursor():
    row = LedgerRow("\x1b[2J[red]evil", "BatchNorm2d", 1, "kept", reason="r")
    text = shown(facts(ledger=Ledger((row,))), every_row=True)
    assert "\\x1b[2J[red]evil" in text
    assert "\x1b" not in text


def test_a_failure_is_called_one():
    text = shown(facts(parity=parity(failed_check())))
    assert text.endswith("done      in 2.5 s; verification FAILED\n")
