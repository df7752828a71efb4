"""The symptoms of docs/debugging.md, one a file: what is seen, the command that finds it, and the repair.

``python -m models.symptoms`` shows all of them, ``python -m models.symptoms ranks_differ`` one. Every file has

    COMMAND  what finds it, run in a folder of its own
    FINDS    words of what it prints
    plant(folder)    makes the files that the command reads
    symptom(folder)  numbers that show it
    repair(folder)   the same numbers, mended
"""

NAMES = (
    "nan_at_batch_1",
    "good_in_validation_bad_in_test",
    "loss_that_oscillates",
    "ranks_differ",
    "poor_fine_tuning",
    "float16_breaks",
    "right_at_1_wrong_at_8",
)
