"""Parsers for the schedule files of clusters/, each read the way its scheduler reads it."""

from __future__ import annotations

import configparser
import re
import shlex
import sys
from types import ModuleType
from typing import Any
from unittest.mock import patch

from tests.clusters.files import ray_object


def words(name: str, text: str) -> list[str]:
    """Return raytl's command in a file, from the verb on."""
    if name.endswith(".yaml"):
        line = ray_object(text)["spec"]["entrypoint"]
    elif name.endswith(".py"):
        line = airflow(text)[1]["bash_command"]
    elif name.endswith(".service"):
        line = unit(text)["Service"]["ExecStart"]
    else:
        line = re.split(r" 2>&1\)", crontab(text)[2])[0]
    words = shlex.split(line)
    return words[next(i for i, word in enumerate(words) if re.fullmatch(r"(.*/)?raytl", word)) + 1 :]


def airflow(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the DAG and of its task."""
    arguments: dict[str, list[dict[str, Any]]] = {"DAG": [], "BashOperator": []}

    class Dag:
        def __init__(self, dag_id: str, **keywords: Any) -> None:
            arguments["DAG"].append({"dag_id": dag_id, **keywords})

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    stubs: dict[str, Any] = {"airflow": ModuleType("airflow"), "airflow.sdk": ModuleType("airflow.sdk")}
    stubs["airflow.sdk"].DAG = Dag
    package = "airflow"
    for part in ("providers", "standard", "operators", "bash"):
        package += f".{part}"
        stubs[package] = ModuleType(package)
    stubs[package].BashOperator = lambda **keywords: arguments["BashOperator"].append(keywords)
    with patch.dict(sys.modules, stubs):
        exec(compile(text, "airflow-retrain.py", "exec"), {})
    (dag,), (task,) = arguments.values()
    return dag, task


def unit(text: str) -> dict[str, dict[str, str]]:
    """Return the sections of a systemd unit."""
    parser = configparser.RawConfigParser(comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def crontab(text: str) -> tuple[str, str, str]:
    """Return the schedule, user and command of a crontab's only line."""
    lines = [line for line in text.splitlines() if line and not re.match(r"#|[A-Z]+=", line)]
    (line,) = lines
    *when, user, command = line.split(" ", 6)
    return " ".join(when), user, command
