"""The SIP user agent: messages, transactions, dialogs, offer and answer, all without sockets or clocks; `transport` has those.

Every machine takes the time with each event and returns effects. Source: RFC 3261 and the RFCs named in each module.
"""
