from .classifier import Classifier as Classifier
from .network import IncompleteNetworkError as IncompleteNetworkError
from .network import Network as Network
from .network import Preprocessing as Preprocessing
from .sources import write_network as write_network

SOURCES: str
MODEL_FILE: str
