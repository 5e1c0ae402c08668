"""Sounds of one device: the model that is in memory there, and batches of jobs from videos to files."""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieren.errors import FrierenError, reason
from frieren.files import write_json
from frieren.isolation import Limits
from frieren.service.schema import JobOptions
from frieren.service.settings import Precision

if TYPE_CHECKING:
    from torch import Tensor

    from frieren.pipeline import Model
    from frieren.seen import Seen
    from frieren.soundtrack import Sound

SEEN = 32  # videos whose features are kept: takes of one video are usually asked for one after another
UPLOAD, RECORD = "input", "record.json"  # names in a job's folder
NOT_COMMANDED = {"cues", "format"}  # options that a record has elsewhere

Report = Callable[[str, int, int], None]  # stage, done, total; raises EndedError where a job is not wanted any more


class LostError(Exception):
    """The machine that was at work on a job has gone."""


class EndedError(Exception):
    """A job is not wanted any more: it was cancelled, or the service stops."""


@dataclass
class Work:
    """A job in the making.

    Attributes:
        name: of the upload, as the client calls it.
        folder: with the upload; the result and its record go there.
        report: is told how far it is.
        error: why it failed, or None.
        seconds: of work, its share where jobs are sampled together.
        spent: seconds of each stage.
        warnings: what a client should know of the sound, a line each.
    """

    options: JobOptions
    name: str
    sha256: str
    folder: Path
    report: Report
    error: BaseException | None = None
    seconds: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def target(self) -> Path:
        """The file of the result."""
        return self.folder / f"result.{self.options.format}"


class Synthesis:
    """Makes the sounds of jobs with one model in memory at a time."""

    def __init__(self, device: str, limits: Limits, precision: Precision = "float32") -> None:
        """Begin without a model.

        Args:
            limits: of the processes that read uploads.
            precision: of jobs that ask for none.
        """
        self.device, self.limits, self.precision = device, limits, precision
        self._name, self._asked = "", ""
        self._model: Model | None = None
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    @property
    def loaded(self) -> str:
        """Name of the model in memory; "" if there is none."""
        return self._name

    def load(self, name: str, precision: Precision | None = None) -> Model:
        """The model of this name and precision; the one before goes first, so that memory never holds two."""
        from frieren.catalogue import load

        wanted = precision or self.precision
        if self._model is None or (self._name, self._asked) != (name, wanted):
            self.close()
            self._model = load(name, device=self.device, precision=wanted)
            self._name, self._asked = name, wanted
        return self._model

    def close(self) -> None:
        """Let the model go."""
        self._name, self._asked, self._model = "", "", None
        self._seen.clear()
        gc.collect()

    def make(self, works: Sequence[Work]) -> Iterator[Work]:
        """Make the results of jobs that may be sampled together, and yield each as it is there, has failed or ended."""
        wanted: list[tuple[Work, Seen]] = []
        try:
            model = self.load(works[0].options.model, works[0].options.precision)
        except Exception as error:  # whatever it is, the clients hear of it
            for work in works:
                work.error = error
            yield from works
            return
        for work in works:
            seen = _attempt(work, partial(self._see, model, work))
            work.spent["encode"] = round(work.seconds, 3)
            if seen is None:
                yield work
            else:
                wanted.append((work, seen))
        for work, seen, latent in self._sampled(model, wanted):
            if latent is not None:
                _attempt(work, partial(_write, model, work, seen, latent, len(wanted), self.limits))
            yield work

    def _see(self, model: Model, work: Work) -> Seen:
        """What the sound is made of; kept for other takes of the same video."""
        from frieren.pipeline.takes import see

        options = work.options
        asked = json.dumps([work.sha256, options.cues, options.sounds], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        work.report("encode", 0, 1)
        if key not in self._seen:
            by_cues, on_frame = model.config.condition == "cues", partial(work.report, "encode")
            upload = work.folder / UPLOAD
            seen = see(model, upload, "video", by_cues, options.sheet(), options.sounds, on_frame, self.limits)
            self._seen[key] = seen
            while len(self._seen) > SEEN:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return self._seen[key]

    def _sampled(self, model: Model, wanted: Sequence[tuple[Work, Seen]]) -> Iterator[tuple[Work, Seen, Tensor | None]]:
        """The latent of each; None where it has failed. If all fail together, each is tried alone."""
        from frieren.pipeline.takes import sample_together

        if not wanted:
            return
        first, started = wanted[0][0].options, time.perf_counter()
        chosen = model.sampling_options(steps=first.steps, guidance=first.guidance, solver=first.solver)
        works, seen = [work for work, _ in wanted], [one for _, one in wanted]
        try:
            seeds = [work.options.seed for work in works]
            latents = sample_together(model, seen, seeds, chosen, partial(_report_all, works))
        except Exception as error:
            if len(wanted) > 1 and not isinstance(error, EndedError):
                for pair in wanted:
                    yield from self._sampled(model, [pair])
                return
            for work, one in wanted:
                work.error = error
                yield work, one, None
            return
        taken = time.perf_counter() - started
        total = sum(latent.shape[-1] for latent in latents)
        for work, one, latent in zip(works, seen, latents, strict=True):
            work.spent["sample"] = round(taken, 3)
            work.seconds += taken * latent.shape[-1] / total
            yield work, one, latent


def _report_all(works: Sequence[Work], done: int, total: int) -> None:
    """Tell each job of a batch how far the sampling is; it goes on as long as one of them is wanted."""
    ended = 0
    for work in works:
        try:
            work.report("sample", done, total)
        except EndedError:
            ended += 1
    if ended == len(works):
        raise EndedError


def _attempt(work: Work, step: Callable[[], Any]) -> Any:
    """What a step gives; None if it fails, and the job then has the error."""
    started = time.perf_counter()
    try:
        return step()
    except Exception as error:  # of one job, which must not end the others
        work.error = error
        return None
    finally:
        work.seconds += time.perf_counter() - started


def _write(model: Model, work: Work, seen: Seen, latent: Tensor, together: int, limits: Limits) -> bool:
    """Decode, vocode and write the result and its record, as `frieren generate` would."""
    from frieren.pipeline.takes import length_of, redone, sounded, whole_wave
    from frieren.record import Stopwatch, make_record, settings
    from frieren.sound_recognition import find_unasked
    from frieren.soundtrack import Sound

    options, upload, spent, rate = work.options, work.folder / UPLOAD, Stopwatch(), model.clock.sample_rate
    chosen = model.sampling_options(steps=options.steps, guidance=options.guidance, solver=options.solver)
    wave, first, redo = sounded(model, latent, length_of(model, seen), spent, work.report), None, options.redos()
    if redo:
        wave = first = whole_wave(wave)
        wave = redone(model, seen, latent, first, redo, chosen, spent, work.report)
    made_by = settings(model, upload, "video", chosen)
    made_by["input"]["name"] = work.name
    if together > 1:
        made_by["options"]["sampled_together"] = together  # the rounding of larger batches is another
    seconds = {**work.spent, **spent.seconds}
    unasked = [] if seen.cues is None else find_unasked(wave, rate, (cue.name for cue in seen.cues.sounds))
    record = make_record(made_by, options.seed, wave, rate, seconds, seen.cues, redo)
    record |= {"unasked": [one.table() for one in unasked]} if unasked else {}
    _save(Sound(wave, rate, upload, record, level_of=first), work, limits)
    command = options.model_dump(exclude=NOT_COMMANDED) | {"precision": model.precision}
    output = f"{Path(work.name).stem}_frieren.{options.format}"
    write_json(work.folder / RECORD, {**record, "command": {"video": work.name, "output": output, **command}})
    work.spent, work.warnings = seconds, [f"the sound {one}" for one in unasked]
    return True


def _save(sound: Sound, work: Work, isolate: Limits) -> None:
    """Write the result, whole or not at all."""
    options = work.options
    work.report("write", 0, 1)
    sound.save(
        work.target,
        loudness=options.loudness,
        keep_original=options.keep_original,
        levels=options.levels,
        as_track=options.as_track,
        audio_codec=options.audio_codec,
        encode=options.encode,
        sample_rate=options.sample_rate,
        isolate=isolate,
    )


def told(error: BaseException, work: Work) -> str:
    """An error as a client hears it: one line, which names the upload as the client does."""
    from frieren.service.inspection import named

    if isinstance(error, FrierenError):
        return named(str(error), str(work.folder / UPLOAD), work.name)
    if isinstance(error, MemoryError):
        return f"{work.name}: out of memory; a shorter video may do"
    return f"{work.name}: {type(error).__name__}: {reason(error)}; this is a fault of the service"
