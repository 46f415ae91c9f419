"""The tables of a report."""

from types import SimpleNamespace

from mtl_keras.analysis import RunReport, results_table

ACCURACY = {"left": ("left_accuracy", 0.91234, "max"), "right": ("right_accuracy", 0.5, "max")}
MIXED = {"colour": ("colour_accuracy", 0.9, "max"), "price": ("price_mae", 3.0, "min")}


def test_tasks_with_one_metric_name_it_once():
    assert results_table(ACCURACY, 0.70617).splitlines() == [
        "| test accuracy | left | right | overall |",
        "|---|---|---|---|",
        "| one shared model | 0.9123 | 0.5000 | 0.7062 |",
    ]


def test_tasks_with_different_metrics_name_each():
    assert results_table(MIXED, None).splitlines()[::2] == [
        "| test | colour accuracy | price mae | overall |",
        "| one shared model | 0.9000 | 3.0000 | - |",
    ]


def test_what_one_model_saves():
    one = SimpleNamespace(parameters=1000, bytes=4000, milliseconds=1.0)
    many = SimpleNamespace(parameters=1900, bytes=8000, milliseconds=1.5)
    lines = results_table(ACCURACY, 0.7, one, many).splitlines()
    assert lines[4:9] == [
        "|  | one shared model | 2 models, one per task | saved |",
        "|---|---|---|---|",
        "| parameters | 1,000 | 1,900 | 1.90x |",
        "| .tflite bytes | 4,000 | 8,000 | 2.00x |",
        "| latency, median ms | 1.00 | 1.50 | 1.50x |",
    ]


def test_the_report_holds_all_parts_and_escapes_what_would_end_a_cell(tmp_path):
    manifest = SimpleNamespace(parameters=1234, parity={"model.tflite": {"colour": 1e-7}}, versions={"keras": "3"})
    settings = {"tasks": "a|b", "epochs": 2}
    report = RunReport("Shop", "RESULTS", {"loss": [2.0, 1.0]}, 61.4, settings, {"Data": "ROWS"}, {"a.png": "photos"})
    report.write(tmp_path / "report.md", manifest)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith(
        "# Shop\n\n1,234 parameters, 2 epochs in 61 s.\n\nRESULTS\n\n![photos](a.png)\n\n## Data\n\nROWS\n"
    )
    assert "| model.tflite | colour | 1.0e-07 |" in text
    assert "| epochs | 2 |\n| tasks | a\\|b |" in text
    assert text.endswith("Made with keras 3.\n")
