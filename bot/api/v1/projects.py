"""Projects, with what hangs on them: variables, production."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from bot.api.conditional import answer, nothing, require_match
from bot.api.problems import Problem
from bot.api.services import Services
from bot.api.v1 import find
from bot.api.v1.paging import page_of
from bot.api.v1.schemas import (
    BranchPattern,
    OneDeployment,
    OneProject,
    OneVariable,
    Paged,
    ProjectChange,
    ProjectIn,
    ProjectPage,
    ProjectPath,
    Promotion,
    VariableIn,
    VariableList,
    VariableName,
    deployment_out,
    project_out,
    variable_out,
)
from bot.errors import UserError
from bot.models import audit, changes, projects, uploads, variables
from bot.models.ids import now
from bot.models.tables import Project
from bot.models.tokens import Scope
from bot.models.variables import Context
from bot.uploads.sources import Sources


class ProjectFilter(Paged):
    name: str = Field("", max_length=200)


class VariablePath(ProjectPath):
    name: VariableName


class VariableQuery(BaseModel):
    context: Context = Context.ALL
    branch: BranchPattern = ""


def blueprint(services: Services) -> APIBlueprint:
    api = APIBlueprint("projects", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="projects")])
    database = services.database

    @api.get("/projects", summary="List projects", responses={200: ProjectPage})
    def list_projects(query: ProjectFilter) -> Response:
        rows = find.visible(Project.select(), Project.id)
        if query.name:
            rows = rows.where(Project.name == query.name)
        found, cursor = page_of(rows, Project.id, query)
        return answer(ProjectPage(data=[project_out(row) for row in found], next=cursor))

    @api.post(
        "/projects",
        summary="Make a project for uploads",
        description="Projects of repositories are made by connecting them.",
        responses={201: OneProject, 409: Problem, 422: Problem},
    )
    def create_project(body: ProjectIn) -> Response:
        caller = find.caller()
        caller.require_name(Scope.ADMIN, body.name)
        with database.write():
            if projects.by_name(body.name) is not None:
                raise UserError("project-name-taken", f"There is a project {body.name} already.")
            created = uploads.project_for(body.name, caller.user_id)
            Project.update(production_branch=body.production_branch).where(
                Project.id == created.id
            ).execute()
            audit.note(caller.name, "project.create", body.name, project=body.name)
        response = answer(OneProject(data=project_out(Project.get_by_id(created.id))), 201)
        response.headers["Location"] = f"/api/v1/projects/{created.id}"
        return response

    @api.get(
        "/projects/<project_id>", summary="A project", responses={200: OneProject, 404: Problem}
    )
    def get_project(path: ProjectPath) -> Response:
        return answer(OneProject(data=project_out(find.project(path.project_id, Scope.READ))))

    @api.patch(
        "/projects/<project_id>",
        summary="Change a project",
        responses={200: OneProject, 404: Problem, 412: Problem},
    )
    def change_project(path: ProjectPath, body: ProjectChange) -> Response:
        actor = find.caller().name
        with database.write():
            found = find.project(path.project_id, Scope.ADMIN)
            require_match(OneProject(data=project_out(found)))
            if (branch := body.production_branch) is not None:
                whole = (Project.id == found.id) | (Project.main == found.id)
                Project.update(production_branch=branch, updated_at=now()).where(whole).execute()
                name = found.name
                audit.note(actor, "project.change", name, project=name, production_branch=branch)
        for switch in ("toolbar", "build_on_visit"):
            if (on := getattr(body, switch)) is not None:
                services.control.switch(actor, found, switch, on)
        if "concurrency" in body.model_fields_set:
            services.control.limit_builds(actor, found, body.concurrency)
        return answer(OneProject(data=project_out(Project.get_by_id(found.id))))

    @api.delete(
        "/projects/<project_id>",
        summary="Delete a project and all its deployments",
        responses={204: None, 404: Problem, 412: Problem},
    )
    def delete_project(path: ProjectPath) -> Response:
        sources = Sources(services.settings, services.store)
        with database.write():
            found = find.project(path.project_id, Scope.ADMIN)
            require_match(OneProject(data=project_out(found)))
            deployment_ids = changes.delete_project(found.id)
            audit.note(find.caller().name, "project.delete", found.name, project=found.name)
        for deployment_id in deployment_ids:
            services.store.delete(deployment_id)
            sources.forget(deployment_id)
        return nothing()

    @api.post(
        "/projects/<project_id>/promote",
        summary="Lead production to a deployment",
        responses={200: OneDeployment, 404: Problem, 409: Problem},
    )
    def promote(path: ProjectPath, body: Promotion) -> Response:
        found = find.project(path.project_id, Scope.DEPLOY)
        services.control.promote(find.caller().name, found, body.deployment_id)
        return _deployment(body.deployment_id, services)

    @api.post(
        "/projects/<project_id>/rollback",
        summary="Lead production back to what was live before",
        responses={200: OneDeployment, 404: Problem, 409: Problem},
    )
    def roll_back(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.DEPLOY)
        earlier = services.control.roll_back(find.caller().name, found)
        return _deployment(earlier.id, services)

    @api.get(
        "/projects/<project_id>/variables",
        summary="The names of a project's variables",
        responses={200: VariableList, 404: Problem},
    )
    def list_variables(path: ProjectPath) -> Response:
        found = find.project(path.project_id, Scope.READ)
        rows = variables.of_project(found.id)
        return answer(VariableList(data=[variable_out(row) for row in rows]))

    @api.put(
        "/projects/<project_id>/variables/<name>",
        summary="Set a variable of a project's builds",
        description="Its value is kept encrypted, and never given out again.",
        responses={200: OneVariable, 404: Problem, 422: Problem},
    )
    def put_variable(path: VariablePath, body: VariableIn) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        row = services.control.set_variable(
            find.caller().name,
            found,
            path.name,
            body.value,
            context=body.context,
            branch=body.branch,
            secret=body.secret,
        )
        return answer(OneVariable(data=variable_out(row)))

    @api.delete(
        "/projects/<project_id>/variables/<name>",
        summary="Remove a variable",
        responses={204: None, 404: Problem},
    )
    def remove_variable(path: VariablePath, query: VariableQuery) -> Response:
        found = find.project(path.project_id, Scope.ADMIN)
        services.control.remove_variable(
            find.caller().name, found, path.name, query.context, query.branch
        )
        return nothing()

    return api


def _deployment(deployment_id: str, services: Services) -> Response:
    found = find.deployment(deployment_id, Scope.READ)
    return answer(OneDeployment(data=deployment_out(found, services.settings)))
