"""A typed client of RabbitMQ 3.10 to 4.3 and of servers that speak its management API. No Django in it.

What a caller wants, and where it is:

=====================  ============================================================================================
`endpoint`             where a broker is and how to sign in: `Endpoint`, parsed from what a person typed
`errors`               every failure, with a kind, a sentence and a remedy: `BrokerError` and its heirs
`http`                 bounded HTTP calls on pooled sessions: `Client`, `Answer` (bytes and what they cost)
`connection`, `tls`    the sockets and TLS contexts below `http`; `failures` makes sentences of what goes wrong there
`structs`, `decoding`  answers of the management API, and how they are read from JSON that is not always right
`management`           the management API: `Management`; `refusals` makes sentences of answers that are not the wanted
`exposition`           the Prometheus text format, read fast: `samples`, `labels`
`prometheus`           one node's Prometheus endpoint: `Prometheus`; who answers where: `locate`
`capabilities`         from version, listeners, flags and settings to what can be asked: `capabilities`, `located`
`connect_check`        *Test connection*, step by step: `check`; its verdicts are in `connect_verdicts`
`handshake`            TLS by itself, for that check; `certificates` reads what a server's certificate says
`policy`               the effective policy of a queue, each key with its origin
`routing`              which queues a message reaches: `Router`
`keys`                 routing keys of which only the outline is known, and the index of topic bindings
`dead_letters`         which queues are dead-letter queues, and of which queues
=====================  ============================================================================================

Nothing here keeps state between calls save pooled connections; nothing logs; no error, `repr` or `str` holds a
password, a token or a key.
"""
