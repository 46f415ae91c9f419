"""`mtl-keras export`: from a saved model to a version folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def export(
    path: Annotated[Path, typer.Argument(help="A .keras file.")],
    out: Annotated[Path, typer.Option(help="Folder of the versions; the next free number is taken.")],
    scale: Annotated[
        float | None,
        typer.Option(
            help="What callers multiply whole-number pixels by, e.g. 0.00392; default that of the manifest beside it."
        ),
    ] = None,
    offset: Annotated[float | None, typer.Option(help="What callers add after that.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Validation data to measure quantized files on: .npz, one array per name, or a run's config.yaml."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Data to calibrate with, the same forms; default the run's training data, or --data."),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="What may be chosen, e.g. int8; may be repeated. auto: float16, dynamic, int8."),
    ] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="Most a task may lose, 0.5 or task=0.5 (0.5 by default); may be repeated."),
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Quantized files take whole-number pixels and scale them themselves.")
    ] = False,
) -> None:
    """Export a .keras model: SavedModel, LiteRT and manifest, each compared with the model.

    With --data also the smallest quantized file that keeps every task within its limit. If there is none, nothing is
    written and the exit status is 1.
    """
    from mtl_keras.cli.loading import load
    from mtl_keras.errors import message

    gated = {"preset": preset, "max_drop": max_drop, "calibration": calibration, "pixels": pixels or None}
    if data is None and any(value is not None for value in gated.values()):
        given = {name: str(value) for name, value in gated.items() if value is not None}
        raise ValueError(message("--data, to measure quantized files on", "pass an .npz file with labels", **given))
    model = load(path)
    from mtl_keras.export import Manifest, write_version

    stated = {key: value for key, value in (("scale", scale), ("offset", offset)) if value is not None}
    before = stated or _recorded(path)
    if data is None:
        folder = write_version(model, out, before=before)
    else:
        folder = _gated(
            model,
            out,
            before,
            data,
            calibration,
            preset or ["auto"],
            _limits(max_drop or [], list(model.output)),
            pixels,
        )
    for artefact, errors in Manifest.read(folder).parity.items():
        worst = ", ".join(f"{task} {error:.1e}" for task, error in errors.items())
        print(f"{artefact}: largest error against the Keras model: {worst}")
    print(f"Written to {folder}")


def _gated(
    model: Any,
    out: Path,
    before: dict[str, Any] | None,
    data: Path,
    calibration: Path | None,
    presets: Sequence[str],
    limits: dict[str, float],
    pixels: bool,
) -> Path:
    """A version folder with the quantized file that passed, or an error that says what each task would lose."""
    import shutil
    import tempfile

    from mtl_keras.cli.loading import read_data
    from mtl_keras.cli.tables import print_table
    from mtl_keras.errors import message
    from mtl_keras.export import quantize, write_version

    judged = read_data(data, model)
    shown = None if calibration is None else read_data(calibration, model)
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / "tried"
        report = quantize(model, tried, judged, presets, limits, shown, before, pixels)
        for table in (report.summary(), report.per_task()):
            print_table(*table)
            print()
        print(report.decision())
        if report.chosen is None:
            over = {
                row.preset: row.refused or list(row.over) for row in report.results if row.preset in report.candidates
            }
            raise ValueError(
                message(
                    "a preset that keeps every task within its limit",
                    "allow more with --max-drop, or train further with mtl_keras.export.quantization_aware",
                    **over,
                )
            )
        chosen = report.result(report.chosen)

        def extras(version: Path, manifest: Any) -> None:
            for file in (chosen.file, "quantization.md", "quantization.json", "quantization.png"):
                shutil.copyfile(tried / file, version / file)
            manifest.parity[chosen.file] = chosen.errors

        return write_version(model, out, before=before, extras=extras)


def _recorded(path: Path) -> dict[str, Any] | None:
    """What callers do to the inputs, where a manifest that lists the model's file lies beside it."""
    from mtl_keras.export import Manifest

    if not (path.parent / "manifest.json").is_file():
        return None
    manifest = Manifest.read(path.parent)
    if path.name not in manifest.files:
        return None
    manifest.check_files(path.parent, [path.name])
    before = manifest.preprocessing["before"] or None
    if before is not None:
        print(f"Preprocessing as in {path.parent / 'manifest.json'}: {before}")
    return before


def _limits(texts: Sequence[str], tasks: Sequence[str]) -> dict[str, float]:
    """`0.5` for all tasks and `price=1` for one, as `{task: number}`."""
    from mtl_keras.errors import message

    everywhere, named = 0.5, {}
    for text in texts:
        task, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(
                message("--max-drop as a number or task=number", "write 0.5 or price=1", max_drop=text)
            ) from None
        if task:
            named[task] = value
        else:
            everywhere = value
    return {**dict.fromkeys(tasks, everywhere), **named}
