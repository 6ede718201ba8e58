"""What tests share: brokers to talk to, the dashboard as a process, a browser, and builders of rows."""
