"""Configuration of the documentation site: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import os
import sys
from pathlib import Path

import freqfast.training  # noqa: F401 (before Sphinx forks the processes that import it for docstrings)
from freqfast import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "freqfast"
author = "The freqfast authors"
copyright = "2026, The freqfast authors. Apache-2.0"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "freqfast_docs"]
exclude_patterns = ["_build"]
smartquotes = False  # --option is no dash
nitpicky = True  # see freqfast_docs for what a reference may name

# Pages are Markdown. Those with code cells are executed at every build.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 600  # seconds: beside other work a cell that trains takes minutes
nb_execution_show_tb = True  # a cell that fails is a warning with its traceback, so -W names all of them
nb_merge_streams = True

# Kernels find the command line, the study files, and a cache that has nothing of the user's.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
os.environ["PYTHONPATH"] = str(HERE / "_ext")  # for %load_ext shell_cells
os.environ["FREQFAST_STUDIES"] = str(HERE.parent / "recipes" / "studies")
os.environ["FREQFAST_CACHE"] = str(HERE / "_build" / ".cache")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two kernels at a time on two cores: sphinx-build -j 2
os.environ["COLUMNS"] = "100"
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm, without ipywidgets

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
default_role = "py:obj"
toc_object_entries = False

html_theme = "furo"
html_title = f"freqfast {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"
