from .classifier import Classifier as Classifier
from .sources import SourcedModel as SourcedModel

SOURCES: str
MODEL_FILE: str
