"""Looks at everything the agent depends on, and says what to do: `perpflux doctor`.

`checks_of` says what is looked at, `examine` looks, all at once and each within its time. Nothing
is changed, and a running agent is not disturbed.
"""

from agent.doctor.checks import checks_of
from agent.doctor.finding import Check, Finding, Result, State, examine
from agent.doctor.threads import DaemonExecutor

__all__ = ["Check", "DaemonExecutor", "Finding", "Result", "State", "checks_of", "examine"]
