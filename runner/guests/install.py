"""Installs requirements into a virtual environment on top of what an image has. Run in a container of that image."""

import importlib.util
import subprocess
import sys
import venv

folder, requirements = sys.argv[1:]
# What the image brings is not installed again: it may be large, and built for this machine's GPUs.
venv.create(folder, system_site_packages=True, symlinks=True, with_pip=importlib.util.find_spec("pip") is None)
options = ["--no-input", "--no-cache-dir", "--progress-bar=off", "--disable-pip-version-check"]
pip = [f"{folder}/bin/python3", "-m", "pip", "install", *options, "-r", requirements]
sys.exit(subprocess.call(pip))
