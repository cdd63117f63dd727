"""``SummaryWriter``: what a training run reports, as event files for TensorBoard.

The package ``tensorboard`` writes the files; it is imported by the first writer. Next file:
``values.py``.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError, DependencyError
from . import values
from .graph import captured, graph_def


def _protocol() -> Any:
    """TensorBoard's messages and file writer in one place.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        from tensorboard.compat.proto import (
            attr_value_pb2,
            event_pb2,
            graph_pb2,
            node_def_pb2,
            summary_pb2,
            tensor_pb2,
            tensor_shape_pb2,
            versions_pb2,
        )
        from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise DependencyError(
            f"SummaryWriter: {error}",
            "The package tensorboard writes the event files, and it is not installed.",
            "pip install tensorboard, or pip install 'fusegrad[tensorboard]'",
        ) from None
    return SimpleNamespace(
        AttrValue=attr_value_pb2.AttrValue,
        Event=event_pb2.Event,
        EventFileWriter=EventFileWriter,
        GraphDef=graph_pb2.GraphDef,
        HistogramProto=summary_pb2.HistogramProto,
        NodeDef=node_def_pb2.NodeDef,
        SessionLog=event_pb2.SessionLog,
        Summary=summary_pb2.Summary,
        SummaryMetadata=summary_pb2.SummaryMetadata,
        TensorProto=tensor_pb2.TensorProto,
        TensorShapeProto=tensor_shape_pb2.TensorShapeProto,
        TextPluginData=TextPluginData,
        VersionDef=versions_pb2.VersionDef,
    )


class SummaryWriter:
    """Writes scalars, histograms, images, texts, graphs and hyperparameters for TensorBoard.

    Needs the package ``tensorboard`` (``pip install 'fusegrad[tensorboard]'``). Events are written
    by a thread; ``flush`` and ``close`` wait for it. View them with ``tensorboard --logdir runs``.

    Args:
        log_dir: folder of the files; default ``runs/DATE_HOST`` followed by ``comment``.
        comment: end of the default ``log_dir``.
        purge_step: when a run is resumed, events from this step on are hidden.
        max_queue: events that wait for the writing thread before ``add_*`` waits.
        flush_secs: seconds between flushes.
        filename_suffix: end of the file name.

    Raises:
        ImportError: ``tensorboard`` is not installed.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = str(log_dir)
        self._proto = _protocol()
        self._options = (max_queue, flush_secs, filename_suffix)
        self._file = self._proto.EventFileWriter(self.log_dir, *self._options)
        self._parts: dict[str, SummaryWriter] = {}
        if purge_step is not None:
            proto = self._proto
            self._event(purge_step, None, file_version="brain.Event:2")
            start = proto.SessionLog(status=proto.SessionLog.START)
            self._event(purge_step, None, session_log=start)

    def _event(self, step: Any, walltime: float | None, **content: Any) -> None:
        if self._file is None:
            raise ArgumentError(
                f"an event for {self.log_dir}, which is closed",
                "A closed writer has no file.",
                "a new SummaryWriter",
            )
        event = self._proto.Event(
            wall_time=time.time() if walltime is None else walltime, **content
        )
        if step is not None:
            event.step = int(values.scalar_of(step, "global_step"))
        self._file.add_event(event)

    def _value(self, tag: str, step: Any, walltime: float | None, **content: Any) -> None:
        if not isinstance(tag, str):
            raise ArgumentTypeError(
                f"a tag of type {type(tag).__name__}", "A tag is a string.", "'loss/train'"
            )
        name = re.sub(r"[^-/\w\. ]", "_", tag).lstrip("/")
        value = self._proto.Summary.Value(tag=name, **content)
        self._event(step, walltime, summary=self._proto.Summary(value=[value]))

    # --- numbers ---------------------------------------------------------------------------------
    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A point of a curve.

        Args:
            tag: name of the curve; ``loss/train`` puts it into a group.
            scalar_value: number, or tensor with one element.
            global_step: where on the curve.
            walltime: seconds since the epoch; now when ``None``.
            new_style: store it as a tensor.
            double_precision: as a tensor of float64.

        Raises:
            ValueError: not one number.
        """
        number = values.scalar_of(scalar_value, f"add_scalar({tag!r})")
        if not (new_style or double_precision):
            self._value(tag, global_step, walltime, simple_value=number)
            return
        proto = self._proto
        if double_precision:
            tensor = proto.TensorProto(double_val=[number], dtype="DT_DOUBLE")
        else:
            tensor = proto.TensorProto(float_val=[number], dtype="DT_FLOAT")
        plugin = proto.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = proto.SummaryMetadata(plugin_data=plugin)
        self._value(tag, global_step, walltime, tensor=tensor, metadata=metadata)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: dict[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points of several curves in one diagram, each a run of its own below ``log_dir``."""
        walltime = time.time() if walltime is None else walltime
        for tag, number in tag_scalar_dict.items():
            name = f"{main_tag.replace('/', '_')}_{tag}"
            self._part(name).add_scalar(main_tag, number, global_step, walltime)

    def _part(self, name: str) -> SummaryWriter:
        """The writer of a folder below this one's."""
        if name not in self._parts:
            queue, seconds, suffix = self._options
            folder = os.path.join(self.log_dir, name)
            self._parts[name] = SummaryWriter(
                folder, max_queue=queue, flush_secs=seconds, filename_suffix=suffix
            )
        return self._parts[name]

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """The distribution of the elements of a tensor; NaN and infinite ones are not counted.

        Args:
            tag: name.
            values: tensor, array or numbers.
            global_step: step.
            bins: ``tensorflow`` for edges that grow by a tenth, or what ``numpy.histogram`` takes.
            walltime: seconds since the epoch.
            max_bins: merge neighbouring bins until there are at most so many.

        Raises:
            ValueError: no finite value.
        """
        self._histogram(tag, values, global_step, bins, walltime, max_bins)

    def _histogram(
        self, tag: str, numbers: Any, step: Any, bins: Any, walltime: Any, max_bins: Any
    ) -> None:
        array = values.array_of(numbers, f"add_histogram({tag!r})")
        fields = values.histogram_of(array, bins, max_bins)
        self._value(tag, step, walltime, histo=self._proto.HistogramProto(**fields))

    # --- pictures --------------------------------------------------------------------------------
    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """An image: bytes, or floats in [0, 1].

        Args:
            tag: name.
            img_tensor: tensor or array with 1, 3 or 4 channels.
            global_step: step.
            walltime: seconds since the epoch.
            dataformats: order of the axes: ``CHW``, ``HWC``, ``HW``, ...

        Raises:
            ValueError: ``dataformats`` does not fit the image.
        """
        array = values.array_of(img_tensor, f"add_image({tag!r})")
        image = values.image_of(array, dataformats)
        height, width, channels = image.shape
        stored = self._proto.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=values.png(image)
        )
        self._value(tag, global_step, walltime, image=stored)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """A batch of images as one grid, eight in a row."""
        if isinstance(img_tensor, (list, tuple)):
            img_tensor = values.array_of(img_tensor, f"add_images({tag!r})")
            dataformats = dataformats if "N" in dataformats else f"N{dataformats}"
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: Any = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib, or a list of them, as an image.

        Args:
            tag: name.
            figure: the figure.
            global_step: step.
            close: close the figure afterwards.
            walltime: seconds since the epoch.
        """
        from matplotlib import pyplot
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figures = figure if isinstance(figure, (list, tuple)) else [figure]
        images = []
        for one in figures:
            canvas = FigureCanvasAgg(one)
            canvas.draw()
            images.append(values.array_of(canvas.buffer_rgba(), "add_figure")[..., :3])
            if close:
                pyplot.close(one)
        self.add_images(tag, images, global_step, walltime, "NHWC")

    # --- text and structure ----------------------------------------------------------------------
    def add_text(
        self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """A text, shown as Markdown."""
        proto = self._proto
        plugin = proto.SummaryMetadata.PluginData(
            plugin_name="text", content=proto.TextPluginData(version=0).SerializeToString()
        )
        shape = proto.TensorShapeProto(dim=[proto.TensorShapeProto.Dim(size=1)])
        text = str(text_string).encode()
        tensor = proto.TensorProto(dtype="DT_STRING", string_val=[text], tensor_shape=shape)
        metadata = proto.SummaryMetadata(plugin_data=plugin)
        self._value(f"{tag}/text_summary", global_step, walltime, tensor=tensor, metadata=metadata)

    def add_graph(
        self,
        model: Any,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """The captured graph of a jitted step, or of a model for given inputs.

        Nodes are named after the lines of your program; what the backward pass added is below
        ``backward``.

        Args:
            model: jitted function, module, function over tensors, or ``step.graph()``.
            input_to_model: tensor or tuple of them; a jitted function that was called needs none.
            verbose: print the graph.
            use_strict_trace: accepted.

        Raises:
            ValueError: a model without inputs.
        """
        graph = captured(model, input_to_model)
        if verbose:
            print(graph)
        drawn = graph_def(graph, self._proto).SerializeToString()
        self._event(None, None, graph_def=drawn)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, Sequence[Any]] | None = None,
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """Hyperparameters of a run and the metrics it reached, as a run below ``log_dir``.

        Args:
            hparam_dict: numbers, strings and booleans by name.
            metric_dict: numbers by name.
            hparam_domain_discrete: the values a hyperparameter takes in all runs.
            run_name: name of the run; the time when ``None``.
            global_step: step of the metrics.

        Raises:
            TypeError: a hyperparameter of another type.
        """
        from .hparams import summaries

        part = self._part(run_name or str(time.time()))
        for tag, content in summaries(
            hparam_dict, metric_dict, hparam_domain_discrete or {}, part._proto
        ):
            part._value(tag, None, None, **content)
        for tag, number in metric_dict.items():
            part.add_scalar(tag, number, global_step)
        part.flush()

    # --- the files -------------------------------------------------------------------------------
    def get_logdir(self) -> str:
        """Folder of the event file."""
        return self.log_dir

    def flush(self) -> None:
        """Wait until all events so far are in the file."""
        for part in (self, *self._parts.values()):
            if part._file is not None:
                part._file.flush()

    def close(self) -> None:
        """Write what is left and close the files; closing twice does nothing."""
        for part in (*self._parts.values(), self):
            if part._file is not None:
                part._file.close()
                part._file = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
