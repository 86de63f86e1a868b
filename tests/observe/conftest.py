"""Answers written by hand, given by a transport adapter below requests: everything above it is the real code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse


class Answers(BaseAdapter):
    """Maps a path to what is answered: data (200), ``(status, data)``, text, or an exception to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.by_path: dict[str, Any] = {}
        self.asked: list[requests.PreparedRequest] = []
        self.timeouts: list[Any] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **kwargs: Any) -> requests.Response:
        self.asked.append(request)
        self.timeouts.append(kwargs.get("timeout"))
        answer = self.by_path[urlsplit(request.url or "").path]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        text = body if isinstance(body, str) else json.dumps(body)
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url or "", request
        response.raw = HTTPResponse(io.BytesIO(text.encode()), status=status, preload_content=False)
        return response

    def close(self) -> None:
        return None

    def params(self, index: int = -1) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.asked[index].url or "").query))


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def mount(answers: Answers) -> Callable[[Any], Answers]:
    """Put the answers in front of a server's own adapter: requests takes the longest prefix."""

    def put(server: Any) -> Answers:
        server.session.mount(f"{server.url}/", answers)
        return answers

    return put
