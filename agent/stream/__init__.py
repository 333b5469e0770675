"""A NATS JetStream stream between agents and stores: what goes into it, and out of it again.

`publisher` is a destination of the journal, `mailbox` stands in for the journal where a shipper
takes from the stream. Both talk through `connection`; `messages` and `answers` are pure. nats-py
is imported only where something is connected to.
"""
