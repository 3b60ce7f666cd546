"""The cache: generated cases in one folder, added to by any number of processes."""

from synthaug.store.case import CaseEntry, Problem, case_name
from synthaug.store.claims import Claims
from synthaug.store.info import StoreInfo
from synthaug.store.maker import Maker
from synthaug.store.store import Store

__all__ = ["CaseEntry", "Claims", "Maker", "Problem", "Store", "StoreInfo", "case_name"]
