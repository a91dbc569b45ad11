"""The middleware, the visitor's routes, and the Visit an app sees."""
