"""Tracing: argument trees and the capture of a function into a graph."""
