"""Jobs: an agent's entrypoint in a room, from the dispatch that asked for it to an orderly end.

`WorkerOptions` and `AgentServer` say what to run, `JobContext` is what it is run with, `JobRunner` runs it.
"""

from .dispatcher import JobDispatcher
from .job import Job, JobContext, JobProcess, JobRejected, JobRequest, get_job_context
from .options import AgentServer, WorkerOptions, agents_of
from .runner import JobRunner
from .running_job import RunningJob

__all__ = [
    "AgentServer",
    "Job",
    "JobContext",
    "JobDispatcher",
    "JobProcess",
    "JobRejected",
    "JobRequest",
    "JobRunner",
    "RunningJob",
    "WorkerOptions",
    "agents_of",
    "get_job_context",
]
