"""Generators of labelled volumes: one file for each system, and a registry that gives each its name."""

from synthaug.generators.cases import CasePaths, case_record
from synthaug.generators.hub import push_generator
from synthaug.generators.protocol import PairGenerator
from synthaug.generators.registry import GeneratorInfo, list_generators, load_generator

__all__ = [
    "CasePaths",
    "GeneratorInfo",
    "PairGenerator",
    "case_record",
    "list_generators",
    "load_generator",
    "push_generator",
]
