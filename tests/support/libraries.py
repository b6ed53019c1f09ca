"""The folders in which torchvision and timm keep the weights that they download."""

import urllib.request
from unittest.mock import Mock
from urllib.error import URLError

import pytest
import torch


@pytest.fixture
def library_caches(tmp_path, monkeypatch):
    """The folders in which torchvision and timm keep what they download, empty; and no connection."""
    constants = pytest.importorskip("huggingface_hub.constants")
    offline = Mock(side_effect=URLError("no connection"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    return tmp_path
