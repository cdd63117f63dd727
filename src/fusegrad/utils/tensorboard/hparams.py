"""Hyperparameters in the form of TensorBoard's plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentTypeError
from ...tensor import Tensor


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Tensor):
        value = value._concrete("add_hparams")
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArgumentTypeError(
        f"hyperparameter {name!r} of type {type(value).__name__}",
        "value should be one of int, float, str, bool, or a tensor with one element.",
        "str(value)",
    )


def _session(hparams: Mapping[str, Any], domains: Mapping[str, Sequence[Any]]) -> tuple[Any, Any]:
    """The start of a session with its values, and what is known of each hyperparameter."""
    from google.protobuf.struct_pb2 import ListValue
    from tensorboard.plugins.hparams.api_pb2 import DataType, HParamInfo
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

    start, infos = SessionStartInfo(), []
    for name, value in hparams.items():
        value = _plain(value, name)
        if value is None:
            continue
        domain = None
        if name in domains:
            domain = ListValue()
            domain.extend(list(domains[name]))
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
            kind = "DATA_TYPE_BOOL"
        elif isinstance(value, str):
            start.hparams[name].string_value = value
            kind = "DATA_TYPE_STRING"
        else:
            start.hparams[name].number_value = value
            kind = "DATA_TYPE_FLOAT64"
        infos.append(HParamInfo(name=name, type=DataType.Value(kind), domain_discrete=domain))
    return start, infos


def summaries(
    hparams: Mapping[str, Any],
    metrics: Mapping[str, Any],
    domains: Mapping[str, Sequence[Any]],
    proto: Any,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tags and contents of the three summaries: experiment, start and end of the session."""
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Experiment, MetricInfo, MetricName, Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    start, infos = _session(hparams, domains)
    known = [MetricInfo(name=MetricName(tag=name)) for name in metrics]
    version = metadata.PLUGIN_DATA_VERSION
    experiment = Experiment(hparam_infos=infos, metric_infos=known)
    end = SessionEndInfo(status=Status.Value("STATUS_SUCCESS"))
    contents = {
        metadata.EXPERIMENT_TAG: HParamsPluginData(experiment=experiment, version=version),
        metadata.SESSION_START_INFO_TAG: HParamsPluginData(
            session_start_info=start, version=version
        ),
        metadata.SESSION_END_INFO_TAG: HParamsPluginData(session_end_info=end, version=version),
    }
    for tag, content in contents.items():
        plugin = proto.SummaryMetadata.PluginData(
            plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString()
        )
        yield (
            tag,
            {
                "metadata": proto.SummaryMetadata(plugin_data=plugin),
                "tensor": metadata.NULL_TENSOR,
            },
        )
