"""What pyproject.toml cannot say: packages that depend on what is in the checkout."""

from pathlib import Path

from setuptools import find_packages, setup

packages = find_packages(include=["txthoonk", "txthoonk.*"])
if Path(__file__).with_name("twisted").joinpath("plugins").is_dir():
    # Our twistd plugin lives in Twisted's own namespace; no __init__.py, so not found above.
    packages.append("twisted.plugins")

setup(
    packages=packages,
    package_data={
        "txthoonk": [
            *("py.typed", "lua/*.lua", "lua/*/*.lua", "lua/*.json"),
            "conformance/vectors/*/*.json",
            "web/*.js",
        ]
    },
)
