"""`/docs` and `/redoc`: the API's description to read, with every script from this machine."""

from __future__ import annotations

import html
import importlib.resources
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_ASSETS = Path(str(importlib.resources.files("fastapi_offline"))) / "static"
_NAMES = ("favicon.png", "redoc.standalone.js", "swagger-ui-bundle.js", "swagger-ui.css")
_START = "start.js"
_BASE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_POLICY = {
    "Content-Security-Policy": f"{_BASE}; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:"
}
_DAY = {"Cache-Control": "public, max-age=86400"}
_START_SCRIPT = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""


@router.get("/docs")
def docs() -> Response:
    """Every path, to read and to try."""
    return _page(
        "ptsys",
        '<link rel="stylesheet" href="docs/files/swagger-ui.css">',
        '<div id="page"></div><script src="docs/files/swagger-ui-bundle.js"></script>'
        f'<script src="docs/files/{_START}"></script>',
    )


@router.get("/redoc")
def redoc() -> Response:
    """Every path, to read."""
    return _page(
        "ptsys",
        "<style>body { margin: 0; }</style>",
        '<redoc spec-url="openapi.json"></redoc>'
        '<script src="docs/files/redoc.standalone.js"></script>',
    )


@router.get("/docs/files/{name}")
def asset(name: Annotated[str, PathParameter(max_length=100)]) -> Response:
    """What the pages load."""
    if name == _START:
        return Response(_START_SCRIPT, media_type="text/javascript", headers=_DAY)
    if name not in _NAMES:
        return Response(status_code=404)
    return FileResponse(_ASSETS / name, headers=_DAY)


def _page(title: str, head: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><link rel="icon" href="docs/files/favicon.png">'
        f"{head}</head><body>{body}</body></html>",
        headers=_POLICY,
    )
