"""What the registry gets: complete, small, and nothing in it that its scanner rejects."""

from __future__ import annotations

import ast
import fnmatch
import io
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 8_000_000  # bytes of the packed archive
NETWORK = {"socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "webbrowser"}
HIDING = {"base64", "codecs", "ctypes", "imp", "importlib", "runpy", "zipimport"}  # what scanners take for hidden code
PICKLES = {"pickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_MODULES = NETWORK | HIDING | PICKLES | {"subprocess", "pty"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "getenv", "system", "popen", "spawn", "fork", "putenv"}
NO_SOURCE = (".pyc", ".min.js", ".so", ".dll", ".exe", ".pth", ".pkl")
NEEDED = {
    "__init__.py",
    "pyproject.toml",
    "requirements.txt",
    "LICENSE",
    "NOTICE",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "nodes/__init__.py",
    "training/__main__.py",
    "training/prompts/strengths.json",
    "training/prompts/templates.json",
    "training/photos/astronaut.jpg",
    "training/photos/grace_hopper.jpg",
    "training/reports/dataset_report.html.j2",
    "training/reports/training_report.html.j2",
    "perception/weights/face_mesh.safetensors",
    "projection/checkpoints/README.md",
    "projection/subject_nouns.json",
    "subgraphs/Prompt with a Face.json",
    "workflows/face_to_expression.json",
    "workflows/face_to_expression.jpg",
    "web/docs/PerceptionClip_FacePerception/en.md",
    "locales/en/nodeDefs.json",
}
UNNEEDED = ("tests/", "benchmarks/", "tools/", ".github/", ".ci/", "Makefile", "constraints.txt")


def published() -> list[str]:
    """The files of the repository, without those that .comfyignore names."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout, so what would be published is not known", allow_module_level=True)
    patterns = [line for line in (ROOT / ".comfyignore").read_text().splitlines() if line and not line.startswith("#")]
    names = [name for name in done.stdout.split("\0") if name]
    return [name for name in names if not any(ignored(name, pattern) for pattern in patterns)]


def ignored(name: str, pattern: str) -> bool:
    """Whether a pattern, a folder with / at its end or a name, leaves a file out."""
    if pattern.endswith("/"):
        return f"/{name}".startswith(f"/{pattern}") or f"/{pattern}" in f"/{name}"
    return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(Path(name).name, pattern)


FILES = published()
PYTHON = [name for name in FILES if name.endswith(".py")]


def test_what_users_need_is_there_and_nothing_else() -> None:
    assert set(FILES) >= NEEDED
    assert not [name for name in FILES if name.startswith(UNNEEDED)]


def test_there_are_no_links_caches_or_minified_scripts() -> None:
    for name in FILES:
        assert not (ROOT / name).is_symlink(), name
        assert "__pycache__" not in name and not name.endswith(NO_SOURCE)
        if name.endswith(".js"):
            assert max(map(len, (ROOT / name).read_text(encoding="utf-8").splitlines())) < 200, name


def test_the_archive_is_small() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.write(ROOT / name, name)
    assert 1_000_000 < packed.tell() < LARGEST


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_scripts_are_as_the_registry_wants_them(name: str) -> None:
    """Extensions with the pack's name, as no other may have it, and no change to the page's head."""
    source = (ROOT / name).read_text(encoding="utf-8")
    extensions = re.findall(r"registerExtension\(\{\s*name: \"([^\"]+)\"", source)
    assert len(extensions) == source.count("registerExtension") == 1
    assert extensions[0].startswith("perceptionclip.")
    assert not re.search(r"document\.(head|body|write)|innerHTML|\beval\b|\bFunction\(", source)


@pytest.mark.parametrize("name", PYTHON)
def test_no_code_that_the_registry_rejects(name: str) -> None:
    source = (ROOT / name).read_text(encoding="utf-8")
    assert suspicious(source) == set()
    assert not re.search(r"\b(eval|exec)\(", source)  # a scanner that reads text takes torch's eval() for Python's


def suspicious(source: str) -> set[str]:
    """Forbidden modules that are imported, and forbidden calls and environment reads."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if forbidden(alias.name)}
        elif isinstance(node, ast.ImportFrom) and not node.level and forbidden(node.module or ""):
            found.add(node.module or "")
        elif isinstance(node, ast.Attribute) and node.attr in ("environ", "environb"):
            found.add(node.attr)
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
                found.add(called.id)
            if isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_CALLS - {"compile", "eval", "exec"}:
                found.add(called.attr)
            if any(keyword.arg == "shell" for keyword in node.keywords):
                found.add("shell")
    return found


def forbidden(module: str) -> bool:
    return module in FORBIDDEN_MODULES or module.split(".")[0] in FORBIDDEN_MODULES


def test_the_scan_finds_what_it_looks_for_and_nothing_else() -> None:
    for code in (
        *("eval('1')", "exec('')", "__import__('os')", "run('ls', shell=True)", "os.environ['A']", "os.system('ls')"),
        *("import pickle", "from pickle import loads", "import pickletools", "import ctypes.util", "import base64"),
        *("import importlib", "from importlib.util import find_spec", "from importlib import util"),
        *("import subprocess", "from urllib.request import urlopen", "import requests", "import http.client"),
    ):
        assert suspicious(code), code
    for code in ("model.eval()", "re.compile('a')", "import json", "from .http import x"):
        assert not suspicious(code), code


def test_the_registry_is_told_what_it_asks_for() -> None:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        pytest.skip("tomllib came with Python 3.11")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    comfy, project = told["tool"]["comfy"], told["project"]
    assert comfy["PublisherId"] and comfy["DisplayName"] == "Perception CLIP"
    assert comfy["requires-comfyui"] == ">=0.3.64"
    assert comfy["Icon"].startswith("https://") and comfy["Banner"].startswith("https://")
    assert project["urls"]["Repository"].startswith("https://") and len(project["description"]) < 160
    assert "comfyui" not in project["name"].lower()
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for kind in ("Icon", "Banner"):
        assert (ROOT / "web" / comfy[kind].rpartition("/")[2]).is_file()
