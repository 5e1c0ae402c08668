"""The studio's page: its files, and the bundled example, under headers that let it load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, RedirectResponse, Response

ASSETS = Path(__file__).parents[2] / "assets"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {path.name: path for path in (ASSETS / "studio").iterdir() if path.suffix in TYPES}
EXAMPLE = ASSETS / "demo.mp4"
# What the page may load: its own files; pictures and sounds also of the clip that it holds in memory.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/studio")
async def to_page() -> Response:
    """The way to the page."""
    return RedirectResponse("/studio/")


@router.get("/studio/")
async def page() -> Response:
    """The page."""
    return await file("index.html")


@router.get("/studio/example.mp4")
async def example() -> Response:
    """The clip that comes with the package: a drawn drum kit."""
    return FileResponse(EXAMPLE, media_type="video/mp4", headers=HEADERS)


@router.get("/studio/{name}")
async def file(name: str) -> Response:
    """A file of the page; a name is looked up, and never becomes a path."""
    if name not in FILES:
        raise HTTPException(404, "the studio has no such file")
    return FileResponse(FILES[name], media_type=TYPES[FILES[name].suffix], headers=HEADERS)
