"""Pairstream's package description. Settings of tools are in pyproject.toml.

Ranges here say what the code needs; requirements.lock says what it was tested with.
The reason for each dependency is in docs/decisions/0006-dependencies.md.
"""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = "0.1.0"

REQUIRES = [
    "anyio>=4.4,<5",
    "apache-beam>=2.77,<3",
    "confluent-kafka>=2.10,<3",
    "google-crc32c>=1.5,<2",
    "keras>=3.15,<4",
    "numpy>=1.26,<3",
    "orjson>=3.10,<4",
    "pyarrow>=17,<26",
    "pydantic>=2.10,<3",
    "PyYAML>=6.0,<7",
    "starlette>=0.46,<2",
    "tensorboard>=2.17",
    "tensorflow>=2.17.1,<3",
    "tensorflow-recommenders==0.7.3",
    "tqdm>=4.66,<5",
    "uvicorn>=0.30,<1",
]

EXTRAS = {
    # Object stores and HDFS. Its shared objects fit one TensorFlow: 2.17.
    "io": [
        "tensorflow>=2.17.1,<2.18",
        "tensorflow-io==0.37.1; platform_machine == 'x86_64'",
    ],
    "dev": [
        "flask>=3,<4",  # with flask-cors, what moto's server needs for S3 alone
        "flask-cors>=5,<7",
        "httpx>=0.28,<1",
        "hypothesis>=6.100,<7",
        "matplotlib>=3.9,<4",
        "moto[s3]>=5.2,<6",
        "mypy>=2.4,<3",
        "pre-commit>=4,<5",
        "pytest>=9,<10",
        "pytest-xdist>=3.8,<4",
        "ruff>=0.17,<0.18",
        "scikit-learn>=1.5,<2",
        "scipy>=1.13,<2",
        "setuptools>=68",
        "types-PyYAML",
        "types-tqdm",
        "uv>=0.5",
        "wheel>=0.43",
    ],
}

ROOMS = ["configs", "preprocessing", "trainer", "serving"]

setup(
    name="pairstream",
    version=VERSION,
    description=(
        "Trains click and conversion models from sparse feedback, and serves them:"
        " raw logs in, calibrated predictions out."
    ),
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    packages=find_packages(
        include=[name for room in ROOMS for name in (room, f"{room}.*")]
    ),
    package_data={
        "configs": ["*.yaml", "py.typed"],
        **{n: ["py.typed"] for n in ROOMS[1:]},
    },
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "pairstream-preprocess=preprocessing.cli:main",
            "pairstream-train=trainer.__main__:run",
            "pairstream-serve=serving.cli:main",
        ],
    },
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
