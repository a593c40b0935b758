//! One Jinja expression, compiled at load; and how its failures are told.

use std::sync::LazyLock;

use minijinja::{Environment, Expression, UndefinedBehavior, Value};

use super::Names;

/// Settings and filters only, never a template: so expressions can outlive any table without borrowing from it.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Bounds the work of one evaluation, whatever a service sends.
    environment.set_fuel(Some(200_000));
    environment
});

/// An expression that could not be evaluated. The text is for the log of an operator: it may quote the expression, never data.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub String);

pub(super) struct Compiled {
    expression: Expression<'static, 'static>,
    source: Box<str>,
}

impl Compiled {
    /// Compiles, and checks that every name will exist.
    pub(super) fn new(source: &str, names: &Names) -> Result<Self, String> {
        let expression = EXPRESSIONS
            .compile_expression_owned(source.to_owned())
            .map_err(|e| format!("`{source}` is not an expression: {}", e.detail().unwrap_or("it does not parse")))?;
        for name in expression.undeclared_variables(false) {
            names.check(&name)?;
        }
        Ok(Compiled { expression, source: source.into() })
    }

    /// The names it reads.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.expression.undeclared_variables(false).contains(name)
    }

    pub(super) fn value(&self, scope: &Value) -> Result<Value, Failed> {
        self.expression.eval(scope).map_err(|e| Failed(format!("`{}`: {}", self.source, e.kind())))
    }
}
