"""What happens to a job, as values: for displays, records and programs."""

from .job import Answered as Answered
from .job import AnswerSummary as AnswerSummary
from .job import Completed as Completed
from .job import Connected as Connected
from .job import Detached as Detached
from .job import Emit as Emit
from .job import Event as Event
from .job import Failed as Failed
from .job import JobBegun as JobBegun
from .job import Notice as Notice
from .job import Retrying as Retrying
from .job import StatusChanged as StatusChanged
from .job import Transferred as Transferred
from .job import Waiting as Waiting
from .job import WorkerLost as WorkerLost
from .job import WorkersFound as WorkersFound
from .job import WorkerSummary as WorkerSummary
from .job import as_json_object as as_json_object
from .job import is_at_work as is_at_work
from .job import summarize as summarize
from .model import ModelReport as ModelReport
from .orders import Cancelled as Cancelled
from .orders import LogLine as LogLine
from .orders import OrderDone as OrderDone
from .orders import Purged as Purged
from .orders import Stopping as Stopping
